"""When the port of a new active lets clients in: once it serves, or after a moment to say wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

from grpclib.const import Cardinality, Handler

from milvus_coord.pb.milvus.proto.internal import GetTimeTickChannelRequest
from milvus_coord.pb.milvus.proto.milvus import StringResponse
from milvus_coord.pb.milvus.proto.rootcoord import RootCoordBase
from milvus_coord.role.lead import RoleLeader
from milvus_coord.role.requirements import Requirements
from milvus_coord.role.rpcs.contract import Contract
from milvus_coord.role.servers import Servers, ServerSettings
from milvus_coord.role.shape import Coordinator
from milvus_coord.role.term import RoleTerm
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


class WordTerm(RoleTerm):
    """Serves once `may_serve` is set."""

    def __init__(self, context: Any, term: Any, may_serve: asyncio.Event) -> None:
        super().__init__(context, term, cast(Any, Mirror()))
        self._may_serve = may_serve

    async def write_missing(self) -> None:
        await self._may_serve.wait()

    def services(self, tasks: TaskGroup) -> Sequence[Service]:
        return (Saying("served"),)


class Mirror:
    """Nothing is to be read."""

    synced = True

    async def catch_up(self, fence: object) -> None:
        """It is there."""


@asynccontextmanager
async def activating(
    scene: Scene, may_serve: asyncio.Event
) -> AsyncIterator[tuple[RoleLeader, asyncio.Task[None], asyncio.Future[bytes]]]:
    """A leader that activates, and the reply to one who connected when that began."""
    clock = SystemClock()
    context: Any = SimpleNamespace(clock=scene.clock)
    coordinator = Coordinator(
        Contract("rootcoord", RootCoordBase()),
        cast(Any, Mirror()),
        (Saying("wait"),),
        lambda term: WordTerm(context, term, may_serve),
    )
    settings = ServerSettings("by-dev", Limits(), None, beat_s=0.1)

    def make() -> tuple[Coordinator, Servers]:
        return coordinator, Servers(coordinator, settings, clock, Pulse(clock))

    reserved = ReservedPort.bind("127.0.0.1", 0)
    leader = RoleLeader(make, clock, reserved=reserved, finish_s=1.0, requirements=Requirements(()))
    await leader.load()
    address = f"127.0.0.1:{reserved.address[1]}"
    async with TaskGroup() as tasks:

        async def activate() -> None:
            await leader.listen(scene.term)
            await leader.recover(scene.term, tasks)

        active = tasks.create_task(activate())
        connection = await dialled(address)
        try:
            yield leader, active, connection.send(METHOD, b"")
        finally:
            connection.close()
            await leader.abandon()
            assert leader.has_port, "the port stays ours between terms"
            leader._port.reserve().close()
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
    may_serve = asyncio.Event()
    may_serve.set()
    async with (
        a_scene(lease_s=1e9) as scene,
        activating(scene, may_serve) as (leader, active, reply),
    ):
        await active
        await asyncio.sleep(0.1)  # nothing is to come
        assert not reply.done(), "nobody is let in before the process calls itself active"
        await leader.admit()
        assert said(await reply) == "served"


async def test_during_a_slow_one_clients_are_told_to_wait() -> None:
    may_serve = asyncio.Event()
    async with (
        a_scene(lease_s=1e9) as scene,
        activating(scene, may_serve) as (leader, active, reply),
    ):
        assert said(await asyncio.wait_for(reply, 5)) == "wait"
        assert not active.done()
        may_serve.set()
        await active
        await leader.admit()
