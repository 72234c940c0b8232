"""The session of one process: its lease, and its key that hangs on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from milvus_coord.etcd.errors import EtcdError, LeaseNotFound
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, get, mod_revision_is, put, version_is
from milvus_coord.etcd.values import Lease
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.settings import WRITE_S
from milvus_coord.model.errors import CoordError
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log

RENEWALS_PER_TTL: Final = 3
_RETRY_S: Final = 0.1
_GONE_S: Final = 1.0


class SessionLost(CoordError):
    """The lease is gone in etcd; a new session must be made."""


class StoreReplaced(CoordError):
    """Etcd is not the one that the session was made in, or has lost some of its past."""


class InstanceTaken(CoordError):
    """Another process has registered under our server id: a restored etcd, or a wrong counter."""


class Session:
    """One lease, from its grant until it is revoked or lost.

    `good_until` (boot time, seconds) is counted from before each request was sent: past it the
    lease may be gone without our knowing.
    """

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        record: SessionRecord,
        lease: Lease,
        sent_at: float,
        note: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._etcd, self._clock, self._note = etcd, clock, note
        self.record = record
        self.lease, self.ttl_s = lease.id, lease.ttl_s
        self.renewed_at = sent_at

    @classmethod
    async def open(
        cls,
        etcd: Etcd,
        clock: Clock,
        record: SessionRecord,
        ttl_s: int,
        note: Callable[[float], None] = lambda _: None,
    ) -> Session:
        """Take a lease of `ttl_s` seconds; `note` is told the seconds between two renewals.

        Raises etcd's errors.
        """
        sent_at = clock.boottime()
        lease = await etcd.lease_grant(ttl_s, timeout_s=WRITE_S)
        return cls(etcd, clock, record, lease, sent_at, note)

    @property
    def good_until(self) -> float:
        """Until when the lease is certain to live, boot time in seconds."""
        return self.renewed_at + self.ttl_s

    async def register(self, key: bytes) -> None:
        """Put the record under the instance key `key`.

        A record of our own server id there is a left-over of this same process's last session
        and is replaced. Raises InstanceTaken when it is another's, and etcd's errors.
        """
        log.info("put session key into etcd", key=key.decode(), value=self.record.encode().decode())
        ours = put(key, self.record.encode(), lease=self.lease)
        create = Txn((version_is(key, 0),), (ours,), (get(key),))
        result = await self._etcd.txn(create, timeout_s=WRITE_S)
        if result.succeeded:
            return
        found = result.kv(0)
        holder = SessionRecord.of(found.key, found.value) if found else None
        if found is None or holder is None or holder != self.record:
            raise InstanceTaken(
                f"{key.decode()} is already there: {found.value[:200]!r}"
                if found
                else f"{key.decode()} came and went"
            )
        again = Txn((mod_revision_is(key, found.mod_revision),), (ours,))
        if not (await self._etcd.txn(again, timeout_s=WRITE_S)).succeeded:
            raise InstanceTaken(f"{key.decode()} changed while it was being replaced")

    async def keep(self, may_renew: Callable[[], bool]) -> None:
        """Renew the lease until it is lost; never returns. Raises SessionLost.

        Renews only while `may_renew` says so: a process that makes no progress must not look
        alive. That etcd cannot be reached is no loss; the lease is renewed when it answers again,
        if it still lives then.
        """
        pause_s = self.ttl_s / RENEWALS_PER_TTL
        timeout_s = min(2.0, pause_s / 2)
        silent = False
        while True:
            await self._clock.sleep(_RETRY_S if silent else pause_s)
            if not may_renew():
                silent = True
                continue
            try:
                await self.renew(timeout_s)
            except EtcdError as error:
                if not silent:
                    log.warn("session lease not renewed, trying on", error=str(error))
                silent = True
            else:
                if silent:
                    log.info("session lease renewed again", leaseID=self.lease)
                silent = False

    async def renew(self, timeout_s: float = _GONE_S) -> None:
        """Renew the lease once. Raises SessionLost when it is gone, and etcd's errors."""
        sent_at = self._clock.boottime()
        try:
            await self._etcd.keep_alive_once(self.lease, timeout_s=timeout_s)
        except LeaseNotFound as error:
            raise SessionLost(f"lease {self.lease:x} is gone in etcd") from error
        self._note(sent_at - self.renewed_at)
        self.renewed_at = max(self.renewed_at, sent_at)

    async def close(self) -> None:
        """Revoke the lease, so that its keys go at once; gives up after a second."""
        try:
            await self._etcd.lease_revoke(self.lease, timeout_s=_GONE_S)
        except LeaseNotFound:
            return
        except EtcdError as error:
            log.warn("session lease not revoked, it ends by itself", error=str(error))
