"""When the port of a new active lets clients in: once it serves, or after a moment to say wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from grpclib.const import Cardinality, Handler

from milvus_coord.pb.milvus.proto.internal import GetTimeTickChannelRequest
from milvus_coord.pb.milvus.proto.milvus import StringResponse
from milvus_coord.pb.milvus.proto.rootcoord import RootCoordBase
from milvus_coord.role.lead import PortLeader
from milvus_coord.role.rpcs.contract import Contract
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.runtime.watchdog import Pulse
from testing.grpc_wire import GrpcConnection
from testing.ha_term import Scene, a_scene

METHOD = "rootcoord.RootCoord/GetTimeTickChannel"


class Saying:
    """A service of one method, which says `word`."""

    def __init__(self, word: str) -> None:
        self._word = word

    def __mapping__(self) -> dict[str, Handler]:
        unary = Cardinality.UNARY_UNARY
        handler = Handler(self._say, unary, GetTimeTickChannelRequest, StringResponse)
        return {f"/milvus.proto.{METHOD}": handler}

    async def _say(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(StringResponse(value=self._word))


class Role:
    """Implements `coordinators.shape.Coordinator`: serves once `may_serve` is set."""

    ready = True
    mirror: Any = None
    contract = Contract("rootcoord", RootCoordBase())

    def __init__(self) -> None:
        self.may_serve = asyncio.Event()

    async def follow(self) -> None:
        await asyncio.Event().wait()

    def waiting(self) -> Sequence[Service]:
        return (Saying("wait"),)

    async def work(self, term: Any, serve: Callable[[Sequence[Service]], None]) -> None:
        await self.may_serve.wait()
        serve((Saying("served"),))
        await asyncio.Event().wait()

    async def finish(self) -> None:
        """Nothing is on its way."""


@asynccontextmanager
async def activating(
    scene: Scene, role: Role
) -> AsyncIterator[tuple[PortLeader, asyncio.Task[None], asyncio.Future[bytes]]]:
    """A leader that activates, and the reply to one who connected when that began."""
    clock = SystemClock()
    scene.term.serve._good_until = float("inf")  # the term is on another clock
    reserved = ReservedPort.bind("127.0.0.1", 0)
    leader = PortLeader(
        role,
        clock,
        reserved=reserved,
        cluster="by-dev",
        limits=Limits(),
        tls=None,
        finish_s=1.0,
        pulse=Pulse(clock),
        beat_s=0.1,
    )
    address = f"127.0.0.1:{reserved.address[1]}"
    async with TaskGroup() as tasks:
        active = tasks.create_task(leader.activate(scene.term, tasks))
        connection = await dialled(address)
        try:
            yield leader, active, connection.send(METHOD, b"")
        finally:
            connection.close()
            await leader.abandon()
            assert leader._reserved is not None, "the port stays ours between terms"
            leader._reserved.close()
            assert leader._working is not None
            await cancel_and_wait(active, leader._working)


async def dialled(address: str) -> GrpcConnection:
    async with asyncio.timeout(5):
        while True:
            try:
                return await GrpcConnection.open(address)
            except ConnectionRefusedError:
                await asyncio.sleep(0)


def said(reply: bytes) -> str:
    return StringResponse.FromString(reply).value


async def test_who_connects_during_a_quick_activation_is_answered_by_an_active() -> None:
    role = Role()
    role.may_serve.set()
    async with a_scene() as scene, activating(scene, role) as (leader, active, reply):
        await active
        await asyncio.sleep(0.1)  # nothing is to come
        assert not reply.done(), "nobody is let in before the process calls itself active"
        await leader.admit()
        assert said(await reply) == "served"


async def test_during_a_slow_one_clients_are_told_to_wait() -> None:
    role = Role()
    async with a_scene() as scene, activating(scene, role) as (leader, active, reply):
        assert said(await asyncio.wait_for(reply, 5)) == "wait"
        assert not active.done()
        role.may_serve.set()
        await active
        await leader.admit()
