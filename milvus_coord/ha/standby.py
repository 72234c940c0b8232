"""Stand by until K can be claimed, and claim it by one transaction."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from milvus_coord.etcd.errors import EtcdError, LeaseNotFound
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, get, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.claim import Claim, Held, judge
from milvus_coord.ha.keys import Keys
from milvus_coord.ha.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.session import Session, SessionLost
from milvus_coord.ha.sessions_watch import SessionsWatch
from milvus_coord.ha.settings import WRITE_S, HaSettings
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.patience import Patience
from milvus_coord.runtime.race import end
from milvus_coord.telemetry.log import log

ANNOUNCE_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Won:
    """K is ours: `epoch` is the revision of the transaction, sent at `sent_at` (boot time, s).

    `clear_at` is the boot time from which the leader before us has certainly stopped.
    """

    epoch: int
    sent_at: float
    clear_at: float


class Standby:
    """The wait of one session for K."""

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        keys: Keys,
        settings: HaSettings,
        watch: SessionsWatch,
        session: Session,
    ) -> None:
        self._etcd, self._clock, self._keys = etcd, clock, keys
        self._settings, self._watch, self._session = settings, watch, session
        self._patience = Patience(clock, "register as ACTIVE", weather=(EtcdError,), cap_s=1.0)
        self._told = ""

    async def win(self) -> Won:
        """Return once K is ours. Raises SessionLost when our lease is gone."""
        announcer = asyncio.create_task(self._announce(), name="ha.standby.announce")
        try:
            while True:
                seen = self._watch.changed.mark()
                try:
                    won = await self._try()
                except LeaseNotFound as error:
                    raise SessionLost(f"lease {self._session.lease:x} is gone in etcd") from error
                except EtcdError as error:
                    await self._patience.pause(error)
                    continue
                self._patience.over()
                if won is not None:
                    return won
                await self._watch.changed.wait(since=seen)
        finally:
            await end(announcer)

    async def _try(self) -> Won | None:
        """Claim K if it may be claimed; None when it is another's."""
        roster = self._watch.roster
        if roster.revision == 0:
            return None
        active = roster.active
        attached = active is None or active.lease != 0
        verdict = judge(
            self._keys,
            active,
            own_lease=self._session.lease,
            leadership_revision=0 if attached else await self._leadership_revision(),
        )
        if isinstance(verdict, Held):
            self._tell(verdict)
            return None
        if self._told:
            log.info("stop watching ACTIVE key")
        self._told = ""
        log.info("start retrying to register as ACTIVE service...")
        return await self._claim(verdict)

    async def _claim(self, claim: Claim) -> Won | None:
        record, lease = self._session.record, self._session.lease
        mine = LeadershipRecord(
            server_id=record.server_id,
            address=record.address,
            state=TermState.HELD,
            serve_lease_ms=round(self._settings.serve_lease_s * 1000),
        )
        claiming = Txn(
            (claim.condition,),
            (
                get(self._keys.leadership),
                put(self._keys.active, record.encode(), lease=lease),
                put(self._keys.leadership, mine.encode()),
            ),
            (get(self._keys.active),),
        )
        sent_at = self._clock.boottime()
        result = await self._etcd.txn(claiming, timeout_s=WRITE_S)
        before = result.kv(0)
        if not result.succeeded:
            self._watch.observe(before, result.revision)
            return None
        wait_s = self._predecessor_serves_s(before)
        return Won(result.revision, sent_at, self._clock.boottime() + wait_s)

    def _predecessor_serves_s(self, before: KeyValue | None) -> float:
        """How long from now the leader before us may still be answering, in seconds.

        Not at all when it said that it had stopped, or when it was a Go coordinator, which has no
        serve lease. A K that merely vanished proves nothing; nor does a record of our own, which
        may stem from a claim whose answer was lost.
        """
        last = self._watch.roster.last_holder
        if before is None or (last is not None and not last.fenced):
            return 0.0
        try:
            term = LeadershipRecord.decode(before.key, before.value)
        except BadValue as error:
            log.warn("the last leader's record is not readable", error=str(error))
            return self._settings.serve_lease_s
        return 0.0 if term.state is TermState.RELEASED else term.serve_lease_ms / 1000

    async def _leadership_revision(self) -> int:
        kv = (await self._etcd.get(self._keys.leadership, timeout_s=WRITE_S)).kv
        return kv.mod_revision if kv else 0

    def _tell(self, held: Held) -> None:
        """Say whose K is, once for each holder."""
        if held.by == self._told:
            return
        self._told = held.by
        role = self._settings.role
        log.info(f"ACTIVE {role} has already been registered", holder=held.by)
        if self._settings.active_standby:
            log.info(f"{role} start to watch ACTIVE key {self._keys.active.decode()}")

    async def _announce(self) -> None:
        """Every ten seconds: the STANDBY line, and a look at K beside the watch."""
        role = self._settings.role
        while True:
            if self._settings.active_standby:
                log.info(f"serverName: {role} is in STANDBY ...")
            await self._clock.sleep(ANNOUNCE_EVERY_S)
            try:
                await self._look()
            except EtcdError as error:
                log.debug("could not look at the ACTIVE key", error=str(error))

    async def _look(self) -> None:
        found = await self._etcd.get(self._keys.active)
        self._watch.observe(found.kv, found.revision)
        if self._settings.active_standby or found.kv is None or not found.kv.lease:
            return
        lease = await self._etcd.lease_time_to_live(found.kv.lease)
        log.warn(
            f"waiting for another {self._settings.role} to go; to run a pair of them, set "
            f"{self._settings.switch}: true for both",
            holder=self._told,
            lease_left_s=lease.ttl_s,
        )
