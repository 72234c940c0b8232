"""Stand by until the active key can be claimed, and claim it by one transaction."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from milvus_coord.etcd.errors import EtcdError, LeaseNotFound
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, get, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.challenge import Challenger
from milvus_coord.ha.detection.detector import Detector
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.election.claim import Claim, Held, decide_claim, replacement_claim
from milvus_coord.ha.election.phases import Phases
from milvus_coord.ha.election.session import Session, SessionLost
from milvus_coord.ha.election.term import Leader
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.status_publisher import StatusPublisher
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.ha.settings import WRITE_S, HaSettings
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log

ANNOUNCE_EVERY_S: Final = 10.0
HEAD_START_S: Final = 2.0
"""How long a standby that is not ready leaves a free active key to those that may be."""

_LOOK_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Predecessor:
    """Who held the active key before us; 0 and "" when nobody is known."""

    server_id: int = 0
    address: str = ""


@dataclass(frozen=True, slots=True)
class ElectionResult:
    """The active key is ours: claimed at revision `epoch`, sent at `sent_at` (boot time, s).

    `predecessor_stopped_at` is the boot time from which the leader before us has certainly stopped.
    `cause` and `predecessor` tell how it ended and who it was; `predecessor_lease` is the session
    lease that it has left behind, 0 for none.
    """

    epoch: int
    sent_at: float
    predecessor_stopped_at: float
    cause: Cause
    predecessor: Predecessor
    predecessor_lease: int
    phases: Phases


@dataclass(frozen=True, slots=True)
class HaContext:
    """What every standby of one process works with."""

    etcd: Etcd
    clock: Clock
    keys: Keys
    settings: HaSettings
    pair: PairState
    publisher: StatusPublisher
    leader: Leader
    metrics: HaMetrics


class Standby:
    """The wait of one session for the active key."""

    def __init__(self, context: HaContext, session: Session) -> None:
        self._context, self._session = context, session
        self._etcd, self._clock, self._keys = context.etcd, context.clock, context.keys
        self._settings, self._pair = context.settings, context.pair
        self._retry = Retry(self._clock, "register as ACTIVE", on=(EtcdError,), cap_s=1.0)
        self._challenger = Challenger(
            context.etcd,
            context.clock,
            context.keys,
            context.pair,
            session,
            context.publisher.etcd_latency,
            wait_s=context.settings.challenge_s,
        )
        self._told = ""
        self._free_since_s: float | None = None

    async def win(self) -> ElectionResult:
        """Return once the active key is ours. Raises SessionLost when our lease is gone."""
        announcer = asyncio.create_task(self._announce(), name="ha.standby.announce")
        try:
            while True:
                seen = self._pair.changed.version()
                try:
                    verdict = self._verdict()
                    won = await self._claim(verdict) if isinstance(verdict, Claim) else None
                except LeaseNotFound as error:
                    raise self._lost() from error
                except EtcdError as error:
                    await self._retry.wait(error)
                    continue
                self._retry.succeeded()
                if won is not None:
                    return won
                if isinstance(verdict, Held) and verdict.holder is not None:
                    won = await self._detect(verdict.holder, seen)
                    if won is not None:
                        return won
                elif verdict is None:
                    await self._clock.sleep(_LOOK_AGAIN_S)
                else:
                    await self._pair.changed.wait(since=seen)
        finally:
            await cancel_and_wait(announcer)

    def _lost(self) -> SessionLost:
        return SessionLost(f"lease {self._session.lease:x} is gone in etcd")

    def _verdict(self) -> Claim | Held | None:
        """Whether the active key may be claimed; None to look again soon."""
        pair = self._pair.snapshot
        if not pair.listed:
            return Held("not known yet")
        active = pair.active
        verdict = decide_claim(
            self._keys,
            active,
            own_lease=self._session.lease,
            leadership_revision=pair.leadership_revision,
        )
        if isinstance(verdict, Held):
            self._free_since_s = None
            self._tell(verdict)
            return verdict
        if not self._may_claim(verdict):
            return None
        self._tell_start()
        return verdict

    def _may_claim(self, claim: Claim) -> bool:
        """Leave a free active key to others while we could do nothing with it."""
        leader = self._context.leader
        if not leader.has_port:
            return False
        others = self._pair.snapshot.sessions.keys() - {self._session.record.server_id}
        if claim.cause is Cause.REGAINED or not others or not leader.obstacles:
            return True
        now_s = self._clock.boottime()
        if self._free_since_s is None:
            self._free_since_s = now_s
        return now_s - self._free_since_s >= HEAD_START_S

    async def _detect(self, holder: SessionRecord, seen: int) -> ElectionResult | None:
        """Watch the active until something changes in the roster, or it may be replaced."""
        active = self._pair.snapshot.active
        if active is None:
            return None
        context = self._context
        detector = Detector(
            self._clock,
            self._settings,
            context.pair,
            self._challenger,
            context.metrics,
            context.publisher.obstacles,
            active,
            holder,
        )
        detecting = asyncio.create_task(detector.wait_for_failure(), name="ha.detect")
        moved = asyncio.create_task(self._moved(active, seen), name="ha.detect.moved")
        try:
            await asyncio.wait((detecting, moved), return_when=asyncio.FIRST_COMPLETED)
            if moved.done() or not detecting.done():
                return None
            return await self._replace(detecting.result())
        finally:
            await cancel_and_wait(detecting, moved)

    async def _moved(self, active: KeyValue, seen: int) -> None:
        """Until the active key is not what it was."""
        while True:
            now = self._pair.snapshot.active
            if now is None or now.mod_revision != active.mod_revision:
                return
            await self._pair.changed.wait(since=seen)
            seen = self._pair.changed.version()

    async def _replace(self, order: ReplacementOrder) -> ElectionResult | None:
        """Put ourselves over the active; None when etcd fails or the active has moved."""
        if not self._context.leader.has_port:
            return None
        await failpoint("before_replace")
        log.warn("replacing the active", cause=order.cause.value)
        self._tell_start()
        claim = replacement_claim(self._keys, order, self._session.record.server_id)
        try:
            return await self._claim(claim, order)
        except LeaseNotFound as error:
            raise self._lost() from error
        except EtcdError as error:
            await self._retry.wait(error)
            return None

    async def _claim(
        self, claim: Claim, order: ReplacementOrder | None = None
    ) -> ElectionResult | None:
        record, lease = self._session.record, self._session.lease
        mine = LeadershipRecord(
            server_id=record.server_id,
            address=record.address,
            state=TermState.HELD,
            serve_lease_ms=round(self._settings.serve_lease_s * 1000),
        )
        claiming = Txn(
            claim.conditions,
            (
                get(self._keys.leadership),
                put(self._keys.active, record.encode(), lease=lease),
                put(self._keys.leadership, mine.encode()),
            ),
            (get(self._keys.active),),
        )
        holder, known = self._pair.snapshot.active, self._pair.snapshot.last_holder
        phases = Phases(self._clock)
        sent_at = self._clock.boottime()
        if order is not None:
            phases.book("detect", sent_at - order.since_s)
        result = await self._context.publisher.etcd_latency.timed(
            self._etcd.txn(claiming, timeout_s=WRITE_S)
        )
        before = result.kv(0)
        if not result.succeeded:
            self._pair.observe_active(before, result.revision)
            return None
        phases.end("claim")
        last = self._last_term(before, known)
        return ElectionResult(
            epoch=result.revision,
            sent_at=sent_at,
            predecessor_stopped_at=self._clock.boottime() + _others_serve_s(last, order),
            cause=_cause(claim, last, known),
            predecessor=_predecessor(claim, last, known),
            predecessor_lease=holder.lease if order and holder else 0,
            phases=phases,
        )

    def _last_term(
        self, before: KeyValue | None, known: SessionRecord | None
    ) -> LeadershipRecord | None:
        """What the last leader of ours said; None when there is none.

        One that cannot be read, or was deleted by hand, is taken for one that may still serve.
        """
        serve_lease_ms = round(self._settings.serve_lease_s * 1000)
        if before is None:
            if known is None or not known.fenced:
                return None
            return LeadershipRecord(known.server_id, known.address, TermState.HELD, serve_lease_ms)
        try:
            return LeadershipRecord.decode(before.key, before.value)
        except BadValue as error:
            log.warn("the last leader's record is not readable", error=str(error))
            return LeadershipRecord(0, "", TermState.HELD, serve_lease_ms)

    def _tell_start(self) -> None:
        if self._told:
            log.info("stop watching ACTIVE key")
        self._told = ""
        log.info("start retrying to register as ACTIVE service...")

    def _tell(self, held: Held) -> None:
        """Say whose active key is, once for each holder."""
        if held.by == self._told:
            return
        self._told = held.by
        role = self._settings.role
        log.info(f"ACTIVE {role} has already been registered", holder=held.by)
        if self._settings.active_standby:
            log.info(f"{role} start to watch ACTIVE key {self._keys.active.decode()}")

    async def _announce(self) -> None:
        """Every ten seconds: the STANDBY line, and a look at the active key beside the watch."""
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
        self._pair.observe_active(found.kv, found.revision)
        if self._settings.active_standby or found.kv is None or not found.kv.lease:
            return
        lease = await self._etcd.lease_time_to_live(found.kv.lease)
        log.warn(
            f"waiting for another {self._settings.role} to go; to run a pair of them, set "
            f"{self._settings.switch}: true for both",
            holder=self._told,
            lease_left_s=lease.ttl_s,
        )


def _others_serve_s(last: LeadershipRecord | None, order: ReplacementOrder | None) -> float:
    """How long from now a leader before us may still be answering, in seconds.

    Not at all when the last one said that it had stopped, or is proven dead after it had outwaited
    its own predecessor. An active key that merely vanished proves nothing; nor does a record of our
    own, which may stem from a claim whose answer was lost; nor that a Go coordinator led meanwhile.
    """
    if last is None or last.state is TermState.RELEASED:
        return 0.0
    if last.state is TermState.CLEAR and order is not None and order.proven_dead:
        return 0.0
    return last.serve_lease_ms / 1000


def _cause(claim: Claim, last: LeadershipRecord | None, known: SessionRecord | None) -> Cause:
    """Why the term begins, as far as the active key and the last leader's own words tell."""
    if claim.cause not in (Cause.LEASE_ENDED, Cause.REGAINED):
        return claim.cause
    if last is None and known is None:
        return Cause.FIRST
    if known is not None and not known.fenced:
        return claim.cause
    if last is not None and last.state is TermState.RELEASED:
        try:
            return Cause(last.why)
        except ValueError:
            return Cause.STOPPED
    return claim.cause


def _predecessor(
    claim: Claim, last: LeadershipRecord | None, known: SessionRecord | None
) -> Predecessor:
    """Who led: by the last leader's record where the key was already ours, else by the key."""
    if claim.cause is Cause.REGAINED and last is not None:
        return Predecessor(last.server_id, last.address)
    return Predecessor(known.server_id, known.address) if known is not None else Predecessor()
