"""One term from the claim to its end: guards, activation, serving, giving the active key up."""

from __future__ import annotations

import asyncio
from typing import Final

from milvus_coord.ha.detection.challenge import Answerer
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.election.handover import HandOver
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.election.session import Session
from milvus_coord.ha.election.standby import ElectionResult, HaContext
from milvus_coord.ha.election.switchover import SwitchoverHandler, first_of
from milvus_coord.ha.election.term import Guards, Term
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.operator_records import SwitchoverRequest
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.ha.pair.takeover_history import revoke_predecessor_lease, write_history
from milvus_coord.model.errors import CoordError
from milvus_coord.model.states import Phase
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import Interrupted, run_until, to_the_end
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.telemetry.log import log

_FIRST_ANSWERS_S: Final = 0.02
"""How long all that can wait is left to those who have waited for a leader."""


class _TermOver(CoordError):
    """The term ended in order, the active key has been given up."""


class Leading:
    """Leads once, in one session; then it is used up."""

    def __init__(
        self, context: HaContext, lifecycle: Lifecycle, session: Session, won: ElectionResult
    ) -> None:
        self._context, self._lifecycle = context, lifecycle
        self._session, self._won = session, won
        self._pair: PairState = context.pair
        self._hand_over = HandOver(
            context.etcd, context.clock, context.keys, context.settings, context.pair
        )
        self._served = False
        self._first_answers_done = asyncio.Event()
        self._why = Cause.FAILED
        self._to = 0

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> bool:
        """Lead until `stop`, a request to switch over, or a loss; whether it ever came to serve."""
        term = self._begin()
        in_order = False
        try:
            async with TaskGroup() as tasks:
                self._start_guards(term, tasks)
                await failpoint("after_claim")
                leader = self._context.leader
                await run_until(stop, leader.activate(term, tasks), name="ha.activate")
                self._serving(term)
                await leader.admit()
                tasks.create_task(self._settle(), name="ha.settle")
                await failpoint("after_serve")
                request = tasks.create_task(self._switching().accepted(term), name="ha.switchover")
                await self._until_told(stop, request)
                await self._finish(hurry)
                raise _TermOver
        except* (_TermOver, Interrupted):
            in_order = self._served
        except* (CoordError, OSError) as why:
            causes = "; ".join(str(cause) for cause in leaves(why))
            served = self._served
            title = self._context.settings.title
            log.warn("stepping down" if served else f"{title} start failed", error=causes)
        finally:
            self._lifecycle.fenced_off = term.fence.broken.is_set()
            self._lifecycle.to(Phase.STEPPING_DOWN)
            self._context.publisher.serve = None
            await to_the_end(self._leave(term, in_order=in_order), name="ha.leave")
        return self._served

    def _begin(self) -> Term:
        won, settings = self._won, self._context.settings
        server_id = self._session.record.server_id
        log.info("register ACTIVE service successfully", ServerID=server_id, cause=won.cause.value)
        if settings.active_standby:
            log.info("quit STANDBY mode, this node will become ACTIVE")
            log.info(f"{settings.role} switch from standby to active, activating")
        self._context.metrics.took_over(won.cause)
        self._lifecycle.to(Phase.ACTIVATING, epoch=won.epoch)
        serve = ServeLease(self._context.clock, settings.serve_lease_s, won.sent_at)
        self._context.publisher.serve = serve
        keys = self._context.keys
        return Term(
            server_id=server_id,
            epoch=won.epoch,
            fence=Fence(
                self._context.etcd,
                keys.active,
                self._session.lease,
                won.epoch,
                self._context.metrics.refused,
            ),
            serve=serve,
            predecessor_stopped_at=won.predecessor_stopped_at,
            phases=won.phases,
            first_answers_done=self._first_answers_done,
        )

    def _start_guards(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        context = self._context
        guards = Guards(context.etcd, context.clock, context.keys, context.pair, self._session)
        guards.start(term, tasks)
        answerer = Answerer(context.keys, self._pair, context.clock)
        answering = answerer.run(term, self._session.lease, context.metrics.answered)
        tasks.create_task(answering, name="ha.answer")
        writing = write_history(
            term, context, self._takeover(), self._mine(TermState.CLEAR), self._first_answers_done
        )
        tasks.create_task(writing, name="ha.history")
        if self._won.predecessor_lease:
            lease = self._won.predecessor_lease
            clearing = revoke_predecessor_lease(
                context.etcd, context.clock, lease, self._first_answers_done
            )
            tasks.create_task(clearing, name="ha.revoke_predecessor_lease")

    def _mine(self, state: TermState) -> LeadershipRecord:
        record, settings = self._session.record, self._context.settings
        return LeadershipRecord(
            server_id=record.server_id,
            address=record.address,
            state=state,
            serve_lease_ms=round(settings.serve_lease_s * 1000),
        )

    def _takeover(self) -> Takeover:
        won, record = self._won, self._session.record
        return Takeover(
            epoch=won.epoch,
            server_id=record.server_id,
            address=record.address,
            from_server_id=won.predecessor.server_id,
            from_address=won.predecessor.address,
            cause=won.cause,
            at_ms=self._context.clock.wall_ns() // 1_000_000,
        )

    def _switching(self) -> SwitchoverHandler:
        return SwitchoverHandler(self._context.clock, self._context.keys, self._pair)

    def _serving(self, term: Term) -> None:
        title = self._context.settings.title
        term.phases.end("serve")
        self._lifecycle.to(Phase.ACTIVE)
        self._served = True
        self._context.metrics.served(term.phases.took_ms)
        log.info(f"{title} Register Finished")
        log.debug(f"{title} start done ...")
        log.debug(f"{title} successfully started")

    async def _settle(self) -> None:
        await self._context.clock.sleep(_FIRST_ANSWERS_S)
        self._first_answers_done.set()

    async def _until_told(
        self, stop: asyncio.Event, request: asyncio.Task[SwitchoverRequest]
    ) -> None:
        """Until a stop request or a request that was accepted; notes which."""
        accepted = await first_of(stop, request)
        self._why = Cause.STOPPED if accepted is None else Cause.SWITCHOVER
        self._to = 0 if accepted is None else accepted.to

    async def _finish(self, hurry: asyncio.Event) -> None:
        """Let running requests end, unless a second signal says not to wait."""
        try:
            await run_until(hurry, self._context.leader.finish(), name="ha.finish")
        except Interrupted:
            log.warn("told twice to stop, not waiting for running requests")
            await self._context.leader.abandon()

    async def _leave(self, term: Term, *, in_order: bool) -> None:
        """Give the active key up: to a ready standby when all work ended in order."""
        given = False
        if in_order:
            await failpoint("before_hand_over")
            ready = self._pair.ready(besides=term.server_id)
            heirs = [self._to] if self._to in ready else ready
            given = await self._hand_over.to_heir(term, heirs, self._why)
            await failpoint("after_hand_over")
        await self._context.leader.abandon()
        if given:
            await self._hand_over.see_it_serve(term)
        else:
            await failpoint("before_release")
            why = self._why if in_order else Cause.FAILED
            await self._hand_over.release(term, why)


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The errors of a group, and of the groups in it."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
