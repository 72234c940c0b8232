"""What the standbys of ours say about themselves each second, as the active hears it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from milvus_coord.etcd.errors import EtcdError, LeaseNotFound
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, lease_is, put
from milvus_coord.etcd.values import Batch, EventKind
from milvus_coord.ha.keys import Keys
from milvus_coord.ha.session import Session
from milvus_coord.ha.settings import WRITE_S
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.patience import Patience

EVERY_S: Final = 1.0
LOOK_S: Final = 0.1
FRESH_S: Final = 2.5


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """Whether one instance could take over now; JSON `{"server_id":7,"ready":true}`."""

    server_id: int
    ready: bool

    def encode(self) -> bytes:
        fields = {"server_id": self.server_id, "ready": self.ready}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, value: bytes) -> InstanceStatus | None:
        """None for anything that is not such a status: it counts as not ready."""
        try:
            fields = json.loads(value)
            return cls(server_id=int(fields["server_id"]), ready=fields["ready"] is True)
        except (ValueError, TypeError, KeyError):
            return None


async def publish(
    etcd: Etcd, clock: Clock, keys: Keys, session: Session, ready: Callable[[], bool]
) -> None:
    """Say every second, and when it changes, whether this instance could take over now.

    That it says so is half of the proof: it runs, its lease lives, etcd takes its writes. Never
    returns.
    """
    server_id = session.record.server_id
    alive = lease_is(keys.instance(server_id), session.lease)
    patience = Patience(clock, "publish the instance status", weather=(EtcdError,))
    said: InstanceStatus | None = None
    due_at = clock.boottime()
    while True:
        status = InstanceStatus(server_id, ready=ready())
        if status != said or clock.boottime() >= due_at:
            write = put(keys.status(server_id), status.encode(), session.lease)
            try:
                await etcd.txn(Txn((alive,), (write,)), timeout_s=WRITE_S)
            except LeaseNotFound:
                pass
            except EtcdError as error:
                await patience.pause(error)
            else:
                patience.over()
                said, due_at = status, clock.boottime() + EVERY_S
        await clock.sleep(LOOK_S)


class StatusBoard:
    """The statuses that arrived while we listened; only those heard of late count."""

    def __init__(self, etcd: Etcd, clock: Clock, keys: Keys) -> None:
        self._etcd, self._clock, self._keys = etcd, clock, keys
        self._heard: dict[int, tuple[InstanceStatus, float]] = {}

    async def listen(self) -> None:
        """Follow the statuses until cancelled.

        The first listing is not heard: what it holds may be as old as a lease.
        """
        patience = Patience(self._clock, "follow the instance statuses", weather=(EtcdError,))
        while True:
            try:
                async with aclosing(self._etcd.follow(self._keys.statuses, prefix=True)) as follow:
                    async for news in follow:
                        patience.over()
                        if isinstance(news, Batch):
                            self._hear(news)
            except EtcdError as error:
                await patience.pause(error)

    def _hear(self, batch: Batch) -> None:
        for event in batch.events:
            status = InstanceStatus.decode(event.kv.value)
            if event.kind is EventKind.PUT and status is not None:
                self._heard[status.server_id] = (status, self._clock.boottime())

    def ready(self, *, besides: int) -> list[int]:
        """Server ids that could take over now, the one heard last first; never `besides`."""
        fresh_after = self._clock.boottime() - FRESH_S
        heard = sorted(self._heard.values(), key=lambda entry: entry[1], reverse=True)
        return [
            status.server_id
            for status, at in heard
            if status.ready and at > fresh_after and status.server_id != besides
        ]
