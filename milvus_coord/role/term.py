"""The template of a term: what happens between winning the active key and the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.role.shape import RoleContext
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.loop import Loop, run_loops
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.runtime.troubles import Troubles
from milvus_coord.telemetry.log import log

Tasks: TypeAlias = Mapping[str, Coroutine[Any, Any, object]]
"""Coroutines by the names of the tasks that they become: "rootcoord.ticks"."""


class RoleTerm:
    """One term of a role; used once. `run` says the order, the methods say what there is.

    All of it ends with the term, and whatever one of the parts raises ends the term. `troubles` is
    what its loops have not been able to do for a while.
    """

    def __init__(self, context: RoleContext, term: Term, mirror: Mirror[Any]) -> None:
        self.context, self.term, self.mirror = context, term, mirror
        self.troubles: Final = Troubles()

    async def run(self, serve: Callable[[Sequence[Service]], None]) -> None:
        """Recover, then lead until cancelled; `serve` is called once, with what answers then."""
        try:
            async with TaskGroup() as tasks:
                _start(tasks, self.watch())
                await self._recover()
                self.term.phases.end("recover")
                await self._wait_for_predecessor()
                self.term.phases.end("wait")
                await failpoint("before_serve")
                serve(self.services(tasks))
                await self.term.first_answers_done.wait()
                _start(tasks, self.work())
                run_loops(tasks, self.loops(), self.context.clock, self.troubles)
        finally:
            await self.close()

    def watch(self) -> Tasks:
        """Tasks of the whole term, which read."""
        return {}

    def recover(self) -> Tasks:
        """Read, all at once and beside the mirror, what former leaders wrote."""
        return {}

    async def write_missing(self) -> None:
        """Write what must be there; the mirror has caught up. Only fenced writes are allowed."""

    def services(self, tasks: TaskGroup) -> Sequence[Service]:
        """What answers from now on; `tasks` are for jobs that end with the term."""
        raise NotImplementedError

    def work(self) -> Tasks:
        """What begins after the first answers, beside the loops."""
        return {}

    def loops(self) -> Iterable[Loop]:
        """What is done again and again, after the first answers."""
        return ()

    async def finish(self) -> None:
        """Let what is on its way end, and begin nothing more by itself; before a hand-over."""

    async def close(self) -> None:
        """Release what the term holds; called also when the term never came to serve."""

    async def wake_on(self, prefix: bytes, wake: asyncio.Event) -> None:
        """Set `wake` whenever keys below `prefix` change in the mirror; a task for `work`."""
        with self.mirror.changes(prefix) as changes:
            while True:
                await changes.take()
                wake.set()

    async def _recover(self) -> None:
        async with TaskGroup() as tasks:
            tasks.create_task(self.mirror.catch_up(self.term.fence), name="role.catch_up")
            _start(tasks, self.recover())
        await failpoint("after_catch_up")
        await self.write_missing()
        await failpoint("after_defaults")

    async def _wait_for_predecessor(self) -> None:
        """Return when the leader before us has certainly stopped."""
        clock = self.context.clock
        wait_s = self.term.predecessor_stopped_at - clock.boottime()
        if wait_s > 0:
            log.info(
                "waiting until the leader before us has certainly stopped", wait_s=round(wait_s, 3)
            )
            await clock.sleep(wait_s)


def _start(tasks: TaskGroup, work: Tasks) -> None:
    for name, coroutine in work.items():
        tasks.create_task(coroutine, name=name)
