"""A pool follows the sessions of one kind of node, and ends what waits for a node that leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from milvus_coord.clients.errors import CallError, CallRefused, NodeGone
from milvus_coord.clients.service_client import NodeClient
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import NotServing
from milvus_coord.role.nodes.pool import Node, NodePool
from milvus_coord.role.nodes.sessions import NodeChanges
from milvus_coord.runtime.clock import ManualClock, SystemClock
from testing.rpc import eventually

Reply = TypeVar("Reply")
META_ROOT = "by-dev/meta"


class FakeClient(NodeClient):
    """A node in memory: `failures` are raised first, in order; `hold` lets calls wait."""

    service = "a.Node"

    def __init__(self, session: SessionRecord) -> None:
        super().__init__(session.address, session.server_id, "by-dev")
        self.server_id, self.calls = session.server_id, 0
        self.closed = False
        self.failures: list[CallError] = []
        self.answering = asyncio.Event()
        self.answering.set()

    async def ping(self) -> str:
        self.calls += 1
        await self.answering.wait()
        if self.failures:
            raise self.failures.pop(0)
        return self.address

    async def _call(
        self, method: str, request: object, reply_type: type[Reply], *, timeout_s: float
    ) -> Reply:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


class Scene:
    """A pool of querynodes over an etcd in memory."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.etcd = MemoryEtcd(clock)
        self.clients: list[FakeClient] = []
        self.changes: list[NodeChanges] = []
        self.shown: list[list[int]] = []
        self.working: set[int] = set()
        self.serve_clock = ManualClock()
        self.pool = NodePool(
            self.etcd,
            clock,
            META_ROOT,
            "querynode",
            connect=self._connect,
            serve=ServeLease(self.serve_clock, 1.0, self.serve_clock.boottime()),
            on_change=self._on_change,
            work=self._work,
        )

    def _connect(self, session: SessionRecord) -> FakeClient:
        self.clients.append(FakeClient(session))
        return self.clients[-1]

    def _on_change(self, changes: NodeChanges) -> None:
        self.changes.append(changes)
        self.shown.append(sorted(self.pool.nodes))

    async def _work(self, node: Node[FakeClient]) -> None:
        self.working.add(node.server_id)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.working.discard(node.server_id)

    async def register(self, server_id: int, *, port: int = 1, **more: Any) -> None:
        fields = {"ServerID": server_id, "Address": f"10.0.0.9:{port}", "Version": "2.2.16"}
        value = json.dumps({**fields, **more}).encode()
        await self.etcd.txn(Txn((), (put(_key(server_id), value),)))

    async def unregister(self, *server_ids: int) -> None:
        await self.etcd.txn(Txn((), tuple(delete(_key(each)) for each in server_ids)))

    async def knows(self, *server_ids: int) -> None:
        await eventually(lambda: sorted(self.pool.nodes) == list(server_ids))


def _key(server_id: int) -> bytes:
    return f"{META_ROOT}/session/querynode-{server_id}".encode()


@asynccontextmanager
async def scene_of(*server_ids: int) -> AsyncIterator[Scene]:
    scene = Scene()
    for each in server_ids:
        await scene.register(each)
    running = asyncio.create_task(scene.pool.run(), name="pool")
    try:
        await asyncio.wait_for(scene.pool.ready(), 5)
        yield scene
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def ping(scene: Scene, server_id: int) -> asyncio.Task[str]:
    node = scene.pool.node(server_id)
    return asyncio.create_task(node.ask(FakeClient.ping, timeout_s=5), name="ping")


async def test_what_a_session_says_is_known() -> None:
    async with scene_of(5) as scene:
        assert scene.pool.node(5).session == SessionRecord(5, "", "10.0.0.9:1")
        await scene.register(5, Stopping=True)
        await eventually(lambda: scene.pool.node(5).session.stopping)
        (changed,) = scene.changes[-1].changed
        assert changed.stopping
        assert len(scene.clients) == 1, "a node that stops keeps its connection"


async def test_a_session_under_the_key_of_another_id_is_nobody() -> None:
    async with scene_of(5) as scene:
        await scene.register(6, ServerID=7)
        await scene.register(8)
        await scene.knows(5, 8)


async def test_those_who_join_and_leave_are_told_and_shown_first() -> None:
    async with scene_of() as scene:
        assert scene.shown == [[]]
        await scene.register(5)
        await scene.knows(5)
        await eventually(lambda: scene.working == {5})
        await scene.unregister(5)
        await scene.knows()
        await eventually(lambda: not scene.working)
        assert [len(each.joined) for each in scene.changes] == [0, 1, 0]
        assert [each.server_id for each in scene.changes[-1].left] == [5]
        assert scene.clients[0].closed


async def test_keys_of_other_kinds_are_nobodys_session() -> None:
    async with scene_of(5) as scene:
        for name in ("querycoord", "querycoord-7", "querynode", "querynode-07", "querynode-x"):
            key = f"{META_ROOT}/session/{name}".encode()
            await scene.etcd.txn(Txn((), (put(key, b'{"ServerID":7,"Address":"h:1"}'),)))
        await scene.register(6)
        await scene.knows(5, 6)


async def test_a_session_that_bears_the_id_of_another_is_not_taken() -> None:
    async with scene_of(5) as scene:
        await scene.etcd.txn(Txn((), (put(_key(7), b'{"ServerID":5,"Address":"h:7"}'),)))
        await scene.register(6)
        await scene.knows(5, 6)
        assert scene.pool.node(5).session.address == "10.0.0.9:1"


async def test_a_value_that_says_the_same_changes_nothing() -> None:
    async with scene_of(5) as scene:
        await scene.register(5)
        await scene.register(6)
        await scene.knows(5, 6)
        assert len(scene.changes) == 2


async def test_calls_in_flight_end_when_the_node_leaves() -> None:
    async with scene_of(5) as scene:
        scene.clients[0].answering.clear()
        call = ping(scene, 5)
        await eventually(lambda: scene.clients[0].calls == 1)
        await scene.unregister(5)
        with pytest.raises(NodeGone, match="querynode 5 has no session any more"):
            await call
        with pytest.raises(NodeGone, match="querynode 5 has no session"):
            scene.pool.node(5)


async def test_a_node_at_another_address_is_called_there() -> None:
    async with scene_of(5) as scene:
        scene.clients[0].failures = [CallError("connection refused", unseen=True)] * 9
        node = scene.pool.node(5)
        call = asyncio.create_task(node.tell(FakeClient.ping, timeout_s=5), name="tell")
        await eventually(lambda: scene.clients[0].calls == 1)
        await scene.register(5, port=2)
        assert await call == "10.0.0.9:2"
        assert scene.clients[0].closed


async def test_a_refusal_is_not_repeated_and_keeps_its_code() -> None:
    async with scene_of(5) as scene:
        scene.clients[0].failures = [CallRefused("no memory", 52)]
        with pytest.raises(CallRefused) as refused:
            await scene.pool.node(5).tell(FakeClient.ping, timeout_s=5)
        assert refused.value.status_code == 52
        assert scene.clients[0].calls == 1


async def test_what_is_told_once_is_not_repeated() -> None:
    async with scene_of(5) as scene:
        scene.clients[0].failures = [CallError("connection lost")]
        with pytest.raises(CallError, match="connection lost"):
            await scene.pool.node(5).tell(FakeClient.ping, timeout_s=5, repeat=False)


async def test_nothing_is_changed_without_the_serve_lease() -> None:
    async with scene_of(5) as scene:
        scene.serve_clock.advance(5.0)
        with pytest.raises(NotServing):
            await scene.pool.node(5).tell(FakeClient.ping, timeout_s=5)
        assert scene.clients[0].calls == 0
        assert await ping(scene, 5) == "10.0.0.9:1"


async def test_each_answers_or_fails_for_itself_and_those_that_leave_are_left_out() -> None:
    async with scene_of(5, 6, 7, 8) as scene:
        clients = {each.server_id: each for each in scene.clients}
        clients[6].failures = [CallRefused("no", 1)]
        clients[7].failures = [CallError("away")]
        clients[8].answering.clear()
        asked = asyncio.create_task(
            scene.pool.each("Ping", lambda node: node.ask(FakeClient.ping, timeout_s=5)),
            name="each",
        )
        await eventually(lambda: clients[8].calls == 1)
        await scene.unregister(8)
        answers = await asked
        assert answers.replies == {5: "10.0.0.9:1"}
        assert sorted(answers.failures) == [6, 7]
        assert answers.first_failure == (6, answers.failures[6])


async def test_the_end_of_the_term_ends_calls_and_work() -> None:
    async with scene_of(5) as scene:
        scene.clients[0].answering.clear()
        node, call = scene.pool.node(5), ping(scene, 5)
        await eventually(lambda: scene.clients[0].calls == 1 and scene.working == {5})
    with pytest.raises(NotServing):
        await call
    with pytest.raises(NotServing):
        await node.ask(FakeClient.ping, timeout_s=5)
    assert not scene.working
