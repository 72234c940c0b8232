"""One run of a scenario: the processes, the edges, the clients, and the histories they leave."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import RequestState, SwitchoverRequest
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.runtime.clock import SystemClock
from testing.daemon import POLL_S, boottime_s
from testing.ddl_scene import Scene, scene
from testing.etcd import EtcdCluster
from testing.hammer import Hammer
from testing.sightings import Method
from tests.rig.checkers import check_same_holder
from tests.rig.clients import Statements, statements
from tests.rig.coordinator import Coordinator
from tests.rig.edges import Edges
from tests.rig.registry import Scenario
from tests.rig.store_history import HA, META, StoreRecorder

T = TypeVar("T")
_LOOK_S: Final = 0.05
_PERIODS_MS: Final = {Method.ALLOC_TIMESTAMP: 5, Method.ALLOC_ID: 20, Method.STATES: 100}


@dataclass(slots=True)
class Fault:
    """What was broken and when, boot time; the longest gap in it is what it cost."""

    words: str
    began_s: float
    ended_s: float = float("inf")


@dataclass(slots=True)
class Rig:
    """What a scenario works with; the package's docstring lists it all.

    Attributes:
        client: our own client of etcd, by no edge.
        scene: the other coordinators and a proxy, played by the test.
        violations: what was found unsafe while the scenario ran.
        surprises: what was safe, but not as it should be.
    """

    scenario: Scenario
    folder: Path
    long: bool
    random: random.Random
    edges: Edges
    etcd: EtcdCluster
    client: EtcdClient
    store: StoreRecorder
    scene: Scene
    coordinators: list[Coordinator]
    hammer: Hammer
    faults: list[Fault] = field(default_factory=list)
    expected: list[Cause] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    statements: Statements | None = None
    working: AsyncExitStack = field(default_factory=AsyncExitStack)

    def pick(self, short: T, long: T) -> T:
        """The one for the form of this run."""
        return long if self.long else short

    async def pair(self) -> tuple[Coordinator, Coordinator]:
        """Start all coordinators and clients; the active one, and a standby that is ready."""
        active, *standbys = self.coordinators
        active.start()
        await self._holding_begins(active)
        for standby in standbys:
            standby.start()
        await active.wait_active()
        await self.hammer.begin()
        self.working.push_async_callback(self.hammer.stop)
        if self.scenario.statements:
            addresses = {each.peer.endpoint: each.address for each in self.coordinators}
            working = statements(self.client, addresses, self.random)
            self.statements = await self.working.enter_async_context(working)
        for standby in standbys:
            await self.ready(standby)
        await self.leads(active)
        return active, standbys[0]

    async def _holding_begins(self, first: Coordinator, within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while self.store.holding is None:
            first.check(first.running, "ended")
            first.check(time.monotonic() < deadline, f"has not won the active key in {within_s} s")
            await asyncio.sleep(POLL_S)

    async def ready(self, standby: Coordinator, within_s: float = 20.0) -> None:
        """Until it is a standby that says it is ready, and everybody may have heard it twice."""
        deadline = time.monotonic() + within_s
        while not await standby.is_ready():
            standby.check(standby.running, "ended")
            standby.check(time.monotonic() < deadline, f"is no ready standby in {within_s} s")
            await asyncio.sleep(_LOOK_S)
        since_s = boottime_s()
        while self._said_ready(standby, since_s) < 2:
            standby.check(time.monotonic() < deadline, "does not say that it is ready")
            await asyncio.sleep(POLL_S)

    def _said_ready(self, standby: Coordinator, since_s: float) -> int:
        said = 0
        for change in reversed(self.store.changes):
            if change.seen_s < since_s:
                break
            if change.key.startswith(f"{HA}instance-") and change.value is not None:
                status = json.loads(change.value)
                mine = status["server_id"] == self.server_id(standby)
                said += mine and status["ready"]
        return said

    def server_id(self, coordinator: Coordinator) -> int:
        """Its server id, of its newest session; -1 while it has none."""
        for change in reversed(self.store.changes):
            if change.key.startswith(f"{META}session/rootcoord-") and change.value is not None:
                session = json.loads(change.value)
                if session["Address"] == coordinator.peer.endpoint:
                    return int(session["ServerID"])
        return -1

    async def restart(self, coordinator: Coordinator) -> None:
        """Start one that has ended; it is a ready standby then."""
        coordinator.start()
        await self.ready(coordinator)

    async def leads(self, coordinator: Coordinator, within_s: float = 20.0) -> None:
        """Until it gives a timestamp asked for from now on, and acknowledges a statement."""
        since_s = boottime_s()
        await self.hammer.wait_success(coordinator.address, after_s=since_s, within_s=within_s)
        if self.statements is not None:
            callers = self.statements.callers
            await callers.more(1, by=coordinator.address, within_s=within_s)

    async def somebody_leads(self, within_s: float = 30.0) -> None:
        """Until the one that is active leads; another may take over while we look."""
        deadline = time.monotonic() + within_s
        while True:
            leader = await self.one_leads(within_s)
            try:
                return await self.leads(leader, within_s=2.0)
            except AssertionError:
                if time.monotonic() >= deadline:
                    raise

    async def one_leads(self, within_s: float = 30.0) -> Coordinator:
        """The one that is active, once all others that run stand by."""
        deadline = time.monotonic() + within_s
        while True:
            alive = [each for each in self.coordinators if each.running]
            standings = [await each.standing() for each in alive]
            if sorted(map(str, standings)) == ["200", *["429"] * (len(alive) - 1)]:
                return alive[standings.index(200)]
            assert time.monotonic() < deadline, f"standings {standings} after {within_s} s"
            await asyncio.sleep(0.02)

    async def quiet(self, seconds: float) -> None:
        """Let the clients go on. The one place where a scenario waits for time to pass."""
        await asyncio.sleep(seconds)

    @contextmanager
    def fault(self, words: str) -> Iterator[Fault]:
        """What is done inside is a fault, which ends when the block does."""
        fault = Fault(words, boottime_s())
        self.faults.append(fault)
        yield fault
        fault.ended_s = boottime_s()

    @asynccontextmanager
    async def no_failover(self) -> AsyncIterator[None]:
        """The active key must stay as it is inside, and every process alive."""
        since = (await self.store.caught_up()).revision
        yield
        self.surprises += check_same_holder(await self.store.caught_up(), since)
        self.surprises += [
            f"{each.name} has ended" for each in self.coordinators if not each.running
        ]

    def expect(self, *causes: Cause) -> None:
        """The history must hold these takeovers, the first of all included, in this order."""
        self.expected = list(causes)

    async def request(self, *, to: Coordinator, within_s: float = 10.0) -> None:
        """Ask by etcd for a switchover; until it is accepted. Fails when it is refused."""
        holding = self.store.holding
        assert holding is not None, "nobody could hand over"
        keys, nonce = Keys(META.rstrip("/"), "rootcoord"), f"{self.random.random()}"
        request = SwitchoverRequest(nonce, holding.epoch, self.server_id(to), "the rig")
        lease = await self.client.lease_grant(int(within_s))
        await self.client.txn(Txn((), (put(keys.switchover, request.encode(), lease.id),)))
        async with asyncio.timeout(within_s):
            while request.state is not RequestState.ACCEPTED:
                assert request.state is RequestState.ASKED, f"refused: {request.why}"
                await asyncio.sleep(POLL_S)
                found = (await self.client.get(keys.switchover)).kv
                assert found is not None, "the request has gone"
                request = SwitchoverRequest.decode(found.key, found.value)

    async def deleted(self, name: str, within_s: float = 20.0) -> None:
        """Until this key below the meta root was deleted."""
        async with asyncio.timeout(within_s):
            while not any(
                one.key == META + name and one.value is None for one in self.store.changes
            ):
                await asyncio.sleep(POLL_S)

    def early_takeovers(self) -> list[Takeover]:
        """Those in the history so far that replaced an active which was not proven dead."""
        latest = {one.key: one for one in self.store.history.of(f"{HA}history/") if one.value}
        told = [Takeover.decode(one.key.encode(), one.value or b"") for one in latest.values()]
        return [one for one in told if one.cause.early]

    def failpoints(self, coordinator: Coordinator, text: str) -> None:
        """What its next start finds armed."""
        coordinator.arm(text)

    async def compact(self) -> int:
        """Compact etcd up to now, once we have recorded all of it; the revision."""
        revision = (await self.store.caught_up()).revision
        await self.etcd.ctl("compact", str(revision))
        return revision


@asynccontextmanager
async def rig(wanted: Scenario, folder: Path, *, long: bool, seed: int) -> AsyncIterator[Rig]:
    """Everything is there inside the block, no coordinator started; nothing is left after it."""
    async with AsyncExitStack() as stack:
        cluster = EtcdCluster(folder / "etcd", wanted.etcd_members)
        stack.callback(cluster.kill)
        await cluster.start()
        client = EtcdClient(EtcdSettings(cluster.endpoints), SystemClock())
        stack.push_async_callback(client.close)
        await client.connect()
        store = StoreRecorder(client)
        await store.begin()
        stack.push_async_callback(store.end)
        edges = await stack.enter_async_context(Edges(folder))
        playing = await stack.enter_async_context(scene(cluster.endpoints))
        coordinators = []
        for number in range(wanted.coordinators):
            made = await Coordinator.make(
                number,
                edges,
                cluster,
                folder=folder,
                session_ttl_s=wanted.ttl_s,
                env={"HA_SERVE_LEASE": str(wanted.serve_lease_ms), **wanted.env},
                other_host=wanted.other_hosts,
            )
            stack.callback(made.kill)
            coordinators.append(made)
        addresses = [each.address for each in coordinators]
        hammer = Hammer(addresses, folder=folder, periods_ms=_PERIODS_MS)
        stack.callback(hammer.kill)
        made_rig = Rig(
            wanted, folder, long, random.Random(seed), edges, cluster, client, store, playing,
            coordinators, hammer,
        )  # fmt: skip
        try:
            yield made_rig
        finally:
            await made_rig.working.aclose()
