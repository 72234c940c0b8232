"""A takeover and its term, from standing by to giving the active key up."""

from __future__ import annotations

import asyncio
from typing import Final

from milvus_coord.ha.election.answerer import Answerer
from milvus_coord.ha.election.context import HaContext
from milvus_coord.ha.election.decisions import heirs
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.election.handover import HandOver, revoke_predecessor_lease
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.election.session import Session
from milvus_coord.ha.election.standby import ElectionResult, Standby
from milvus_coord.ha.election.switchover import SwitchoverHandler
from milvus_coord.ha.election.takeover_history import write_history
from milvus_coord.ha.election.term import Guards, Term
from milvus_coord.ha.pair.leadership_record import TermState
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.model.errors import CoordError
from milvus_coord.model.states import Phase
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import Interrupted, run_until, to_the_end
from milvus_coord.runtime.taskgroup import TaskGroup, leaves
from milvus_coord.telemetry.log import log

_FIRST_ANSWERS_S: Final = 0.02
"""How long all that can wait is left to those who have waited for a leader."""


class _TermOver(CoordError):
    """The term ended in order, the active key has been given up."""


class Leading:
    """One takeover in one session, and the term that it begins; then it is used up."""

    def __init__(self, context: HaContext, lifecycle: Lifecycle, session: Session) -> None:
        self._context, self._lifecycle, self._session = context, lifecycle, session
        self._hand_over = HandOver(context)
        self._served = False
        self._first_answers_done = asyncio.Event()
        self._why = Cause.FAILED
        self._to = 0

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> bool:
        """Stand by, take over and lead; whether the term came to serve.

        What a term of the role consists of, and in which order its parts begin, says `RoleTerm`;
        `leader.listen` and `leader.recover` stand for it here.
        It ends by `stop`, by a switchover, or because it is lost. Raises Interrupted when `stop` is
        set before there is a term, SessionLost.
        """
        standby, leader = Standby(self._context, self._session), self._context.leader
        won: ElectionResult | None = None
        async with standby.announced():
            while won is None:
                # The active is watched; it is decided whether, and by which comparisons, to claim.
                claim = await run_until(stop, standby.next_claim(), name="ha.standby")
                won = await run_until(stop, standby.claim(claim), name="ha.claim")  # by one txn
        with log.context(epoch=won.epoch):
            term = self._begin(won)
            in_order = False
            try:
                async with TaskGroup() as tasks:
                    self._start_guards(term, won, tasks)  # any of them may end the term from now on
                    await failpoint("after_claim")
                    await run_until(stop, leader.listen(term), name="ha.listen")
                    # The mirror catches up, then come the parts of the role's term in their order.
                    await run_until(stop, leader.recover(term, tasks), name="ha.recover")
                    self._serve(term)  # Healthy
                    await leader.admit()
                    tasks.create_task(self._end_first_answers(), name="ha.first_answers")
                    await failpoint("after_serve")
                    await self._until_told(term, stop)
                    await self._finish(hurry)
                    raise _TermOver
            except* (_TermOver, Interrupted):
                in_order = self._served
            except* (CoordError, OSError) as why:
                self._hand_over.refuses_since_s = self._context.clock.boottime()
                self._log_loss(why)
            finally:
                self._lifecycle.fenced_off = term.fence.broken.is_set()
                self._lifecycle.to(Phase.STEPPING_DOWN)
                self._context.publisher.serve = None
                await to_the_end(self._leave(term, in_order=in_order), name="ha.leave")
        return self._served

    def _begin(self, won: ElectionResult) -> Term:
        context, settings, cause = self._context, self._context.settings, won.succession.cause
        server_id, lease = self._session.record.server_id, self._session.lease
        log.info("register ACTIVE service successfully", ServerID=server_id, cause=cause.value)
        if settings.active_standby:
            log.info("quit STANDBY mode, this node will become ACTIVE")
            log.info(f"{settings.role} switch from standby to active, activating")
        context.metrics.took_over(cause)
        self._lifecycle.to(Phase.ACTIVATING, epoch=won.epoch)
        serve = ServeLease(context.clock, settings.serve_lease_s, won.sent_at)
        context.publisher.serve = serve
        fence = Fence(context.etcd, context.keys.active, lease, won.epoch, context.metrics.refused)
        return Term(
            server_id=server_id,
            epoch=won.epoch,
            fence=fence,
            serve=serve,
            predecessor_stopped_at=won.predecessor_stopped_at,
            phases=won.phases,
            first_answers_done=self._first_answers_done,
        )

    def _start_guards(self, term: Term, won: ElectionResult, tasks: asyncio.TaskGroup) -> None:
        context, lease = self._context, self._session.lease
        clock, keys, pair = context.clock, context.keys, context.pair
        Guards(context.etcd, clock, keys, pair, self._session).start(term, tasks)
        answering = Answerer(keys, pair, clock).run(term, lease, context.metrics.answered)
        tasks.create_task(answering, name="ha.answer")
        begun, clear = (
            self._takeover(won),
            context.settings.leadership(term.server_id, TermState.CLEAR),
        )
        writing = write_history(term, clock, keys, pair, begun, clear)
        tasks.create_task(writing, name="ha.history")
        if old := won.succession.lease:
            revoking = revoke_predecessor_lease(context.etcd, clock, old, self._first_answers_done)
            tasks.create_task(revoking, name="ha.revoke_predecessor_lease")

    def _takeover(self, won: ElectionResult) -> Takeover:
        record, before = self._session.record, won.succession
        switched = before.cause is Cause.SWITCHOVER
        asked = self._context.pair.snapshot.request if switched else None
        return Takeover(
            epoch=won.epoch,
            server_id=record.server_id,
            address=record.address,
            from_server_id=before.server_id,
            from_address=before.address,
            cause=before.cause,
            at_ms=self._context.clock.wall_ns() // 1_000_000,
            asked_by=asked.by if asked else "",
            reason=asked.reason if asked else "",
        )

    def _serve(self, term: Term) -> None:
        title = self._context.settings.title
        term.phases.end("serve")
        self._lifecycle.to(Phase.ACTIVE)
        self._served = True
        self._context.metrics.served(term.phases.took_ms)
        log.info(f"{title} Register Finished")
        log.debug(f"{title} start done ...")
        log.debug(f"{title} successfully started")

    def _log_loss(self, why: ExceptionGroup[Exception]) -> None:
        title = self._context.settings.title
        causes = "; ".join(str(cause) for cause in leaves(why))
        log.warn("stepping down" if self._served else f"{title} start failed", error=causes)

    async def _end_first_answers(self) -> None:
        await self._context.clock.sleep(_FIRST_ANSWERS_S)
        self._first_answers_done.set()

    async def _until_told(self, term: Term, stop: asyncio.Event) -> None:
        """Until a stop request or a switchover that was accepted; notes which."""
        context = self._context
        handler = SwitchoverHandler(context.clock, context.keys, context.pair)
        request = await handler.wait(term, stop)
        self._why = Cause.STOPPED if request is None else Cause.SWITCHOVER
        self._to = 0 if request is None else request.to

    async def _finish(self, hurry: asyncio.Event) -> None:
        """Let running requests end, unless a second signal says not to wait."""
        self._hand_over.refuses_since_s = self._context.clock.boottime()
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
            ready = heirs(self._context.pair.ready(besides=term.server_id), self._to)
            given = await self._hand_over.to_heir(term, ready, self._why)
            await failpoint("after_hand_over")
        await self._context.leader.abandon()
        if given:
            await self._hand_over.see_it_serve(term)
        else:
            await failpoint("before_release")
            why = self._why if in_order else Cause.FAILED
            await self._hand_over.release(term, why)
