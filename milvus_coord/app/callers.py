"""Who else is registered in the cluster, as far as settings of ours do not suit everybody."""

from __future__ import annotations

from typing import Final

from milvus_coord.config import ConfigError, Problem, Settings
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.say_once import SayOnce
from milvus_coord.telemetry.log import log

_LOOK_EVERY_S: Final = 10.0


class Callers:
    """Whether everybody who will call us can: Go 2.2.16's processes speak no TLS to us."""

    def __init__(self, etcd: Etcd, settings: Settings) -> None:
        self._etcd, self._settings = etcd, settings
        self._said = SayOnce[tuple[str, ...]](())

    async def check(self) -> None:
        """Raises ConfigError when somebody cannot, and etcd's errors."""
        if go := await self._cannot_call():
            must = (
                f"must be 0: Go processes of this cluster cannot call us over TLS: {', '.join(go)}"
            )
            mode = str(self._settings.ha.tls.mode)
            raise ConfigError([Problem("registered in etcd", must, "ha.tls.mode", mode)])

    def loop(self) -> Loop:
        """Say so of those who register later: they wait for us without a word."""

        async def turn() -> None:
            go = await self._cannot_call()
            if self._said.is_news(go) and go:
                log.error("Go processes cannot call us over TLS, ha.tls.mode must be 0", who=go)

        return Loop("app.callers", _LOOK_EVERY_S, turn, on=(EtcdError,))

    async def _cannot_call(self) -> tuple[str, ...]:
        if not self._settings.ha.tls.mode:
            return ()
        found = await self._etcd.range(f"{self._settings.etcd.meta_root}/session/".encode())
        sessions = [SessionRecord.of(kv.key, kv.value) for kv in found.kvs]
        return tuple(
            sorted(
                {
                    f"{one.server_name} at {one.address}"
                    for one in sessions
                    if one and not one.fenced
                }
            )
        )
