"""Stand by until the active key can be claimed, and claim it by one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from milvus_coord.etcd.errors import EtcdError, LeaseNotFound
from milvus_coord.etcd.txn import Txn, get, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.challenge import Challenger
from milvus_coord.ha.detection.detector import Detector
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.election.context import HaContext
from milvus_coord.ha.election.decisions import (
    LOOK_AGAIN_S,
    ClaimActiveKey,
    Decision,
    DetectFailure,
    Own,
    Succession,
    Wait,
    decide,
    decide_replacement,
    succession,
)
from milvus_coord.ha.election.phases import Phases, SeenEnd, before_claim
from milvus_coord.ha.election.session import Session, SessionLost
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.settings import WRITE_S
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import cancel_and_wait, first_of
from milvus_coord.runtime.retry import Retry
from milvus_coord.runtime.say_once import SayOnce
from milvus_coord.telemetry.log import log

ANNOUNCE_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class ElectionResult:
    """The active key is ours, claimed at revision `epoch`.

    Attributes:
        sent_at: boot time (s) before the claim was sent.
        predecessor_stopped_at: boot time (s) from which the leader before us has certainly stopped.
        succession: who that was, and why we lead now.
        phases: how long detection and claim took.
    """

    epoch: int
    sent_at: float
    predecessor_stopped_at: float
    succession: Succession
    phases: Phases


class Standby:
    """The wait of one session for the active key."""

    def __init__(self, context: HaContext, session: Session) -> None:
        self._context, self._session = context, session
        self._etcd, self._clock, self._keys = context.etcd, context.clock, context.keys
        self._settings, self._pair = context.settings, context.pair
        self._retry = Retry(self._clock, "register as ACTIVE", on=(EtcdError,), cap_s=1.0)
        self._holder = SayOnce("")
        self._free_since_s: float | None = None
        self._end = SeenEnd()

    @asynccontextmanager
    async def announced(self) -> AsyncIterator[None]:
        """Inside, say now and then that we stand by, and read the active key beside the watch."""
        announcing = asyncio.create_task(self._announce(), name="ha.standby.announce")
        try:
            yield
        finally:
            await cancel_and_wait(announcing)

    async def next_claim(self) -> ClaimActiveKey:
        """Decide, watch and wait until the active key may be claimed.

        Decisions are made anew whenever one has been carried out.
        """
        while True:
            version = self._pair.changed.version()
            decision = self._decide()
            self._log(decision)
            if isinstance(decision, ClaimActiveKey):
                return decision
            self._retry.succeeded()
            if isinstance(decision, DetectFailure):
                if (claim := await self._detect(decision)) is not None:
                    return claim
            elif decision.seconds is not None:
                await self._clock.sleep(decision.seconds)
            else:
                await self._pair.changed.wait(since=version)

    async def claim(self, claim: ClaimActiveKey) -> ElectionResult | None:
        """Claim the active key by one transaction; None when somebody else was faster.

        None also after an error of etcd, when its retry is due; what became of the claim is then
        unknown, and seen by the next decision. Raises SessionLost when our lease is gone.
        """
        decided_at = self._pair.snapshot.active_revision
        try:
            result = await self._send(claim)
        except LeaseNotFound as error:
            raise SessionLost(f"lease {self._session.lease:x} is gone in etcd") from error
        except EtcdError as error:
            await self._retry.wait(error)
            return None
        self._retry.succeeded()
        if result is None and self._pair.snapshot.active_revision == decided_at:
            await self._clock.sleep(LOOK_AGAIN_S)  # the next decision would be the same one
        return result

    def _decide(self) -> Decision:
        leader = self._context.leader
        own = Own(
            server_id=self._session.record.server_id,
            lease=self._session.lease,
            has_port=leader.has_port,
            ready=not leader.obstacles,
            free_since_s=self._free_since_s,
        )
        decision = decide(self._keys, self._pair.snapshot, own, self._clock.boottime())
        if isinstance(decision, Wait):
            self._free_since_s = decision.free_since_s
        elif isinstance(decision, DetectFailure):
            self._free_since_s = None
        return decision

    async def _detect(self, decision: DetectFailure) -> ClaimActiveKey | None:
        """Watch the active until it may be replaced; None when the active key has changed."""
        detector = self._detector(decision)
        self._end = SeenEnd()
        moved = self._moved(decision.active)
        order = await first_of(moved, detector.wait_for_failure(), name="ha.standby.watch")
        if order is None:
            self._end = SeenEnd(self._clock.boottime(), detector.beat_s)
        if order is None or not self._context.leader.has_port:
            return None
        await failpoint("before_replace")
        log.warn("replacing the active", cause=order.cause.value)
        claim = decide_replacement(self._keys, order, self._session.record.server_id)
        self._log(claim)
        return claim

    def _detector(self, decision: DetectFailure) -> Detector:
        context = self._context
        challenger = Challenger(
            context.etcd,
            context.clock,
            context.keys,
            context.pair,
            self._session,
            context.publisher.etcd_latency,
            wait_s=context.settings.challenge_s,
        )
        return Detector(
            context.clock,
            context.settings,
            context.pair,
            challenger,
            context.metrics,
            context.publisher.obstacles,
            decision.active,
            decision.holder,
        )

    async def _moved(self, active: KeyValue) -> ReplacementOrder | None:
        """Return when the active key is not what it was."""
        while self._pair.snapshot.epoch == active.mod_revision:
            await self._pair.changed.wait()
        return None

    async def _send(self, claim: ClaimActiveKey) -> ElectionResult | None:
        """Send the claim; None when a condition of it does not hold. Raises etcd's errors."""
        record, lease = self._session.record, self._session.lease
        mine = self._settings.leadership(record.server_id, TermState.HELD)
        claiming = Txn(
            claim.conditions,
            (
                get(self._keys.leadership),
                put(self._keys.active, record.encode(), lease=lease),
                put(self._keys.leadership, mine.encode()),
            ),
            (get(self._keys.active),),
        )
        last_holder = self._pair.snapshot.last_holder
        phases = Phases(self._clock)
        sent_at, sent_wall_s = self._clock.boottime(), self._clock.wall_ns() / 1e9
        writing = self._etcd.txn(claiming, timeout_s=WRITE_S)
        result = await self._context.publisher.etcd_latency.timed(writing)
        found = result.kv(0)
        if not result.succeeded:
            self._pair.observe_active(found, result.revision)
            return None
        took_s = self._clock.boottime() - sent_at
        written = _readable(found, mine.serve_lease_ms) if found is not None else None
        succeeded = succession(claim, written, last_holder, mine.serve_lease_ms)
        before = before_claim(succeeded.cause, claim, written, self._end, sent_at, sent_wall_s)
        for phase, seconds in before.items():
            phases.book(phase, seconds)
        phases.book("claim", took_s)
        return ElectionResult(
            epoch=result.revision,
            sent_at=sent_at,
            predecessor_stopped_at=self._clock.boottime() + succeeded.serves_s,
            succession=succeeded,
            phases=phases,
        )

    def _log(self, decision: Decision) -> None:
        """Say who holds the active key, once for each holder, and that it is claimed."""
        role = self._settings.role
        if isinstance(decision, ClaimActiveKey):
            if self._holder.is_news(""):
                log.info("stop watching ACTIVE key")
            log.info("start retrying to register as ACTIVE service...")
        elif decision.why and self._holder.is_news(decision.why):
            log.info(f"ACTIVE {role} has already been registered", holder=decision.why)
            if self._settings.active_standby:
                log.info(f"{role} start to watch ACTIVE key {self._keys.active.decode()}")

    async def _announce(self) -> None:
        """Every ten seconds: the STANDBY line, and a read of the active key beside the watch."""
        role = self._settings.role
        while True:
            if self._settings.active_standby:
                log.info(f"serverName: {role} is in STANDBY ...")
            await self._clock.sleep(ANNOUNCE_EVERY_S)
            try:
                await self._read_active_key()
            except EtcdError as error:
                log.debug("could not look at the ACTIVE key", error=str(error))

    async def _read_active_key(self) -> None:
        found = await self._etcd.get(self._keys.active)
        self._pair.observe_active(found.kv, found.revision)
        if self._settings.active_standby or found.kv is None or not found.kv.lease:
            return
        lease = await self._etcd.lease_time_to_live(found.kv.lease)
        log.warn(
            f"waiting for another {self._settings.role} to go; to run a pair of them, set "
            f"{self._settings.switch}: true for both",
            holder=self._holder.last,
            lease_left_s=lease.ttl_s,
        )


def _readable(found: KeyValue, serve_lease_ms: int) -> LeadershipRecord:
    """The last leader's record; one that cannot be read is of a leader that may still serve."""
    try:
        return LeadershipRecord.decode(found.key, found.value)
    except BadValue as error:
        log.warn("the last leader's record is not readable", error=str(error))
        return LeadershipRecord(0, "", TermState.HELD, serve_lease_ms)
