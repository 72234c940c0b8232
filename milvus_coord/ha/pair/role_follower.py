"""Follow the picture of some roles, and know how long each instance has been silent."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, EventKind, KeyValue
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot, snapshot_of
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.signal import Signal
from milvus_coord.runtime.taskgroup import TaskGroup

STALE_S: Final = 2.5
"""An instance writes its status each second; one that has not for so long is called stale."""


class RoleFollower:
    """The newest known keys of `roles`; `changed` rings after each change.

    etcd keeps no times: how long ago a status was written is known only since `run` follows it.
    """

    def __init__(self, etcd: Etcd, clock: Clock, meta_root: str, roles: tuple[str, ...]) -> None:
        self._etcd, self._clock = etcd, clock
        self._keys = {role: Keys(meta_root, role) for role in roles}
        self._kvs: dict[bytes, KeyValue] = {}
        self._heard: dict[bytes, float] = {}
        self._told: set[bytes] = set()
        self._listed_at: dict[bytes, float] = {}
        self.changed = Signal()

    async def run(self) -> None:
        """Follow until cancelled. Raises etcd's errors, but waits out an etcd that is away."""
        async with TaskGroup() as tasks:
            for prefix in self._prefixes:
                tasks.create_task(self._follow(prefix), name=f"look at {prefix.decode()}")

    async def listed(self, within_s: float) -> None:
        """Wait until all keys have been read once. Raises Unavailable."""
        try:
            async with asyncio.timeout(within_s):
                while len(self._listed_at) < len(self._prefixes):
                    await self.changed.wait()
        except TimeoutError:
            text = f"etcd did not list the keys of {', '.join(self._keys)} in {within_s:.0f} s"
            raise Unavailable(text, sent=False) from None

    async def statuses_fresh(self) -> None:
        """Wait until every instance has written its status anew, or is stale."""
        while True:
            unsure = [key for key in self._heard if key not in self._told]
            left_s = STALE_S - min((self._age_s(key) for key in unsure), default=STALE_S)
            if left_s <= 0:
                return
            try:
                async with asyncio.timeout(left_s):
                    await self.changed.wait()
            except TimeoutError:
                continue

    def snapshot(self, role: str) -> RoleSnapshot:
        """The picture of one role, as far as it is known now."""
        return snapshot_of(self._keys[role], self._kvs.values())

    def silent_s(self, role: str, server_id: int) -> float | None:
        """Seconds since the last write of that status was seen; None when there is no status.

        At least so long, for one that has not been written since `run` began.
        """
        key = self._keys[role].status(server_id)
        return self._age_s(key) if key in self._heard else None

    def stale(self, role: str, server_id: int) -> bool:
        """Whether that instance has a status and writes it no more."""
        return (self.silent_s(role, server_id) or 0.0) >= STALE_S

    @property
    def _prefixes(self) -> list[bytes]:
        return [prefix for keys in self._keys.values() for prefix in (keys.active, keys.ha)]

    async def _follow(self, prefix: bytes) -> None:
        async with aclosing(self._etcd.follow(prefix, prefix=True)) as follow:
            async for news in follow:
                if isinstance(news, Batch):
                    for event in news.events:
                        self._take(event.kv, gone=event.kind is EventKind.DELETE)
                else:
                    for kv in news.kvs:
                        self._take(kv, gone=False)
                        self._told.discard(kv.key)
                    self._listed_at[prefix] = self._clock.boottime()
                self.changed.notify()

    def _take(self, kv: KeyValue, *, gone: bool) -> None:
        if gone:
            self._kvs.pop(kv.key, None)
            self._heard.pop(kv.key, None)
            self._told.discard(kv.key)
            return
        self._kvs[kv.key] = kv
        if any(kv.key.startswith(keys.statuses) for keys in self._keys.values()):
            self._heard[kv.key] = self._clock.boottime()
            self._told.add(kv.key)

    def _age_s(self, key: bytes) -> float:
        return self._clock.boottime() - self._heard[key]
