"""A term, a session and a pair state on the in-memory etcd, without a runner around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.election.phases import Phases
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.election.session import Session
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.session_record import SessionRecord
from testing.role_world import KEYS, Stage

ACTIVE, ME = 7, 8


class Scene(Stage):
    """ACTIVE leads in `term`; ME is a standby with `session`. The clock moves when told.

    The term writes over `term_link`, the pair's keys are followed over `pair_link`.
    """

    step_s = 0.02

    def __init__(self, lease_s: float = 1.0) -> None:
        super().__init__()
        self.lease_s = lease_s
        self.pair_link, self.term_link = self.etcd.peer(), self.etcd.peer()
        self.pair = PairState(self.pair_link, self.clock, KEYS)
        self.term: Term
        self.session: Session
        self._tasks: list[asyncio.Task[Any]] = []

    async def begin(self) -> None:
        self.session = await self.join(ME, self.etcd.peer())
        self.active = await self.join(ACTIVE, self.etcd.peer())
        self.term = await self.term_of(self.active)

    async def join(self, server_id: int, etcd: MemoryEtcd) -> Session:
        record = SessionRecord(server_id, "rootcoord", f"h:{server_id}", fenced=True)
        session = await Session.open(etcd, self.clock, record, 60)
        await session.register(KEYS.instance(server_id))
        return session

    async def term_of(self, session: Session) -> Term:
        """Take the active key as it is, for a new term."""
        epoch = await self.put(KEYS.active, session.record.encode(), lease=session.lease)
        now_s = self.clock.boottime()
        fence = Fence(self.term_link, KEYS.active, session.lease, epoch)
        serve = ServeLease(self.clock, self.lease_s, now_s)
        return Term(
            session.record.server_id,
            epoch,
            fence,
            serve,
            now_s,
            Phases(self.clock),
            asyncio.Event(),
        )

    def run(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        return task

    async def listen(self) -> None:
        """Let the pair's keys be followed."""
        self.run(self.pair.follow(), "pair")
        await self.settle(lambda: self.pair.snapshot.listed)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def a_scene(lease_s: float = 1.0) -> AsyncIterator[Scene]:
    scene = Scene(lease_s)
    await scene.begin()
    try:
        yield scene
    finally:
        await scene.end()
