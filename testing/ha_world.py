"""Candidates on one in-memory etcd and one clock that moves when told; their beats are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.runner import HaRunner
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.takeover import Takeover
from milvus_coord.ha.settings import HaSettings
from milvus_coord.model.states import Phase
from milvus_coord.rpc.heartbeat.message import Beat
from milvus_coord.rpc.heartbeat.service import BeatService
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.telemetry.metrics import Metrics
from milvus_coord.wire.codec import WireCodec
from testing.role_world import KEYS, Stage

TTL_S: Final = 10
SERVE_S: Final = 1.0
BEAT_S: Final = 0.1


class NodeClock(ManualClock):
    """The world's clock as one process sees it: while it is frozen, no sleep of its ends."""

    def __init__(self, world: ManualClock) -> None:
        super().__init__()
        self._world = world
        self._runs = asyncio.Event()
        self._runs.set()

    def freeze(self) -> None:
        self._runs.clear()

    def thaw(self) -> None:
        self._runs.set()

    def boottime(self) -> float:
        return self._world.boottime()

    def wall_ns(self) -> int:
        return self._world.wall_ns()

    async def sleep(self, seconds: float) -> None:
        await self._world.sleep(seconds)
        await self._runs.wait()


class Role:
    """A leader that remembers what was asked of it, and sends beats while it leads."""

    def __init__(self, clock: NodeClock) -> None:
        self._clock = clock
        self._server: RpcServer | None = None
        self._reserved = ReservedPort.bind("127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._reserved.address[1]}"
        self.calls: list[str] = []
        self.term: Term | None = None
        self.trouble: Exception | None = None
        self.obstacles: tuple[str, ...] = ()
        self.troubles: tuple[str, ...] = ()
        self.lacks: tuple[str, ...] = ()
        self.has_port = True
        self.finish_s = 0.0
        self.mirror: Mirror[Any] | None = None

    async def listen(self, term: Term) -> None:
        self.calls.append("listen")
        if self.trouble is not None:
            raise self.trouble
        self.term = term
        beats = BeatService(self._clock, BEAT_S, self._beat)
        guards = Guards("by-dev", lambda: term.server_id)
        self._server = RpcServer((beats,), codec=WireCodec(), limits=Limits(), guards=guards)
        await self._server.listen(self._reserved)

    async def recover(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        self.calls.append("recover")
        await self._clock.sleep(term.predecessor_stopped_at - self._clock.boottime())

    async def admit(self) -> None:
        """Everybody is let in from the first moment here."""

    async def finish(self) -> None:
        self.calls.append("finish")
        if self.finish_s:
            await self._clock.sleep(self.finish_s)

    async def abandon(self) -> None:
        self.calls.append("abandon")
        await self.close_port()

    async def close_port(self) -> None:
        if self._server is not None:
            await self._server.abort()
            self._server = None
            host, _, port = self.address.rpartition(":")
            self._reserved = ReservedPort.bind(host, int(port))

    def close(self) -> None:
        self._reserved.close()

    def _beat(self) -> Beat:
        term = self.term
        assert term is not None
        return Beat(term.server_id, term.epoch, worst_lag_s=0.0, unproven_s=term.serve.age_s)


class Node:
    """One process, without the process."""

    def __init__(self, etcd: MemoryEtcd, world: ManualClock, settings: dict[str, Any]) -> None:
        self.etcd, self.clock = etcd, NodeClock(world)
        self.lifecycle = Lifecycle(self.clock)
        self.role = Role(self.clock)
        self.progress = True
        self.stop, self.hurry = asyncio.Event(), asyncio.Event()
        self.phases: list[Phase] = []
        self.lifecycle.observe(self.phases.append)
        self.metrics = Metrics()
        self.settings = HaSettings(
            role="rootcoord",
            title="RootCoord",
            meta_root="by-dev/meta",
            address=self.role.address,
            session_ttl_s=TTL_S,
            serve_lease_s=SERVE_S,
            beat_s=BEAT_S,
            challenge_s=0.3,
            **{
                "active_standby": True,
                "early_per_minute": 1,
                "early_per_ten_minutes": 3,
                **settings,
            },
        )
        self.runner = HaRunner(
            etcd,
            self.clock,
            self.settings,
            self.role,
            self.lifecycle,
            lambda: self.progress,
            lambda: 0.0,
            HaMetrics(self.metrics),
        )

    async def live(self) -> None:
        await self.runner.take_server_id()
        await self.runner.run(self.stop, self.hurry)

    def freeze(self) -> None:
        """As SIGSTOP does: connections stay, nothing is said any more."""
        self.clock.freeze()
        self.etcd.partition(silent=True)

    def thaw(self) -> None:
        self.etcd.heal()
        self.clock.thaw()

    @property
    def server_id(self) -> int:
        return self.lifecycle.server_id

    @property
    def active(self) -> bool:
        return self.lifecycle.phase is Phase.ACTIVE

    @property
    def standby(self) -> bool:
        return self.lifecycle.phase is Phase.STANDBY

    @property
    def term(self) -> Term:
        assert self.role.term is not None
        return self.role.term


class World(Stage):
    """Nodes on one store and one clock."""

    step_s = 0.05
    turns_a_step = 25

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.tasks: dict[Node, asyncio.Task[None]] = {}

    def start(self, **settings: object) -> Node:
        """A new process; `settings` take the place of those of the world."""
        node = Node(self.etcd.peer(), self.clock, settings)
        self.nodes.append(node)
        self.tasks[node] = asyncio.create_task(node.live(), name=f"node {len(self.nodes)}")
        return node

    def check(self) -> None:
        """At no moment may two be allowed to hand anything out."""
        serving = [n for n in self.nodes if n.active and n.term.serve.holds]
        assert len(serving) <= 1, serving
        for task in self.tasks.values():
            if task.done():
                task.result()

    def status(self, node: Node) -> InstanceStatus | None:
        """What a node has last said about itself."""
        key = KEYS.status(node.server_id)
        value = self.value(key)
        return None if value is None else InstanceStatus.decode(key, value)

    def ready(self, node: Node) -> bool:
        status = self.status(node)
        return status is not None and status.ready

    def history(self) -> list[Takeover]:
        end = KEYS.history[:-1] + b"0"  # the character behind the slash
        return [
            Takeover.decode(kv.key, kv.value) for kv in self.etcd.store.range(KEYS.history, end)
        ]


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    """A world whose nodes all end when it does."""
    world = World()
    try:
        yield world
        for node in world.nodes:
            node.stop.set()
            node.thaw()
        await world.until(lambda: all(task.done() for task in world.tasks.values()))
    finally:
        for task in world.tasks.values():
            task.cancel()
        await asyncio.gather(*world.tasks.values(), return_exceptions=True)
        for node in world.nodes:
            await node.role.close_port()
            node.role.close()


async def pair(world: World, **settings: object) -> tuple[Node, Node]:
    """One that is active, and one whose status says that it is ready."""
    first = world.start(**settings)
    await world.until(lambda: first.active)
    second = world.start(**settings)
    await world.until(lambda: second.standby and world.ready(second))
    return first, second
