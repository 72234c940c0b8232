"""One client for each node that has a session: made when it joins, closed when it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from milvus_coord.clients.errors import CallError, NodeGone
from milvus_coord.clients.service_client import NodeClient
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.role.nodes.sessions import NodeChanges, NodeSessions
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.noop import noop
from milvus_coord.runtime.taskgroup import TaskGroup

Client = TypeVar("Client", bound=NodeClient)
T = TypeVar("T")


class Node(Generic[Client]):
    """One node while it has a session. Calls run side by side; none outlives the session."""

    def __init__(
        self,
        session: SessionRecord,
        connect: Callable[[SessionRecord], Client],
        clock: Clock,
        serve: ServeLease,
    ) -> None:
        self._session, self._connect = session, connect
        self._clock, self._serve = clock, serve
        self._client = connect(session)
        self._end: Callable[[], CoordError] | None = None
        self._limits: set[asyncio.Timeout] = set()

    @property
    def session(self) -> SessionRecord:
        """Its session as it is now."""
        return self._session

    @property
    def server_id(self) -> int:
        """Its server id."""
        return self._session.server_id

    async def ask(self, call: Callable[[Client], Awaitable[T]], *, timeout_s: float) -> T:
        """One question, asked once. Raises NodeGone, and CallError."""
        async with self._bounded(timeout_s):
            return await call(self._client)

    async def tell(
        self, call: Callable[[Client], Awaitable[T]], *, timeout_s: float, repeat: bool = True
    ) -> T:
        """Change something there; with `repeat` again and again while no answer comes.

        Raises NodeGone, CallError, and NotServing when we have no right to change anything.
        """
        backoff = Backoff(0.1, 2.0)
        until_s = self._clock.boottime() + timeout_s
        async with self._bounded(timeout_s):
            while True:
                self._serve.require()
                try:
                    return await call(self._client)
                except CallError as error:
                    pause_s = backoff.next()
                    out_of_time = self._clock.boottime() + pause_s >= until_s
                    if error.refused or not repeat or self._end or out_of_time:
                        raise
                await self._clock.sleep(pause_s)

    def move(self, session: SessionRecord) -> None:
        """Its session has changed. At another address, calls that are repeated go there."""
        moved, self._session = session.address != self._session.address, session
        if moved:
            former, self._client = self._client, self._connect(session)
            former.close()

    def end(self, error: Callable[[], CoordError]) -> None:
        """Call it no more: calls raise `error`, also those in flight."""
        self._end = error
        now_s = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now_s)
        self._client.close()

    @asynccontextmanager
    async def _bounded(self, timeout_s: float) -> AsyncIterator[None]:
        if self._end:
            raise self._end()
        try:
            async with asyncio.timeout(timeout_s) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)
        except (TimeoutError, CallError) as error:
            if self._end:
                raise self._end() from None
            if isinstance(error, TimeoutError):
                raise CallError(f"no answer within {timeout_s:g} s") from None
            raise

    def __repr__(self) -> str:
        return f"<Node {self._session}>"


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What nodes have answered to one call, and how it failed at the others, by server id."""

    replies: dict[int, T] = field(default_factory=dict)
    failures: dict[int, CoordError] = field(default_factory=dict)

    @property
    def first_failure(self) -> tuple[int, CoordError] | None:
        """The failure at the node with the lowest server id; None when there is none."""
        return min(self.failures.items(), key=lambda item: item[0], default=None)


class NodePool(Generic[Client]):
    """All nodes of one kind that have a session.

    Calls to one node know nothing of calls to others. Calls to a node that leaves end with
    NodeGone; those to one that only hangs last until their own deadline.

    Args:
        meta_root: `etcd.rootPath/etcd.metaSubPath`.
        kind: as in session keys, "datanode".
        connect: makes the client of one node; it is connected at its first call.
        serve: asked before each attempt to change something at a node.
        on_change: called after the first listing and after each change, when `nodes` shows it and
            before anything is sent to a node that has joined.
        work: done for each node from its joining on, and cancelled when it leaves.
    """

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        meta_root: str,
        kind: str,
        *,
        connect: Callable[[SessionRecord], Client],
        serve: ServeLease,
        on_change: Callable[[NodeChanges], None] = noop,
        work: Callable[[Node[Client]], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._clock, self._serve, self._kind = clock, serve, kind
        self._connect, self._on_change, self._work = connect, on_change, work
        self._sessions = NodeSessions(etcd, clock, meta_root, kind, self._on_sessions)
        self._nodes: dict[int, Node[Client]] = {}
        self._working: dict[int, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._listed = asyncio.Event()

    @property
    def nodes(self) -> Mapping[int, Node[Client]]:
        """Those that are there, by server id; it changes under a reader who awaits."""
        return MappingProxyType(self._nodes)

    def node(self, server_id: int) -> Node[Client]:
        """One of them. Raises NodeGone when it is not there."""
        found = self._nodes.get(server_id)
        if found is None:
            raise NodeGone(f"{self._kind} {server_id} has no session")
        return found

    async def run(self) -> None:
        """Follow the sessions until cancelled; from then on every call raises NotServing."""
        try:
            async with TaskGroup() as tasks:
                self._tasks = tasks
                await self._sessions.run()
        finally:
            for node in self._nodes.values():
                node.end(lambda: NotServing("no longer the active coordinator"))

    async def ready(self) -> None:
        """Return once the sessions have been listed."""
        await self._listed.wait()

    async def each(self, name: str, call: Callable[[Node[Client]], Awaitable[T]]) -> Answers[T]:
        """Do `call` for all side by side, and wait for all; those that leave are left out.

        Waits for the first listing. `name` is for the names of tasks.
        """
        await self._listed.wait()
        answers: Answers[T] = Answers()

        async def one(node: Node[Client]) -> None:
            try:
                answers.replies[node.server_id] = await call(node)
            except NodeGone:
                pass
            except CoordError as error:
                answers.failures[node.server_id] = error

        async with TaskGroup() as calls:
            for node in self._nodes.values():
                calls.create_task(one(node), name=f"{name} {node.server_id}")
        return answers

    def _on_sessions(self, changes: NodeChanges) -> None:
        for session in changes.left:
            self._leave(session)
        for session in changes.changed:
            self._nodes[session.server_id].move(session)
        for session in changes.joined:
            self._nodes[session.server_id] = Node(session, self._connect, self._clock, self._serve)
        self._on_change(changes)
        for session in changes.joined:
            self._begin_work(self._nodes[session.server_id])
        self._listed.set()

    def _begin_work(self, node: Node[Client]) -> None:
        if self._work is not None and self._tasks is not None:
            self._working[node.server_id] = self._tasks.create_task(
                self._work(node), name=f"{self._kind} {node.server_id}"
            )

    def _leave(self, session: SessionRecord) -> None:
        gone = f"{self._kind} {session.server_id} has no session any more"
        self._nodes.pop(session.server_id).end(lambda: NodeGone(gone))
        if (work := self._working.pop(session.server_id, None)) is not None:
            work.cancel()
