"""A server that is warmed up answers every method once, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from milvus_coord.pb.milvus.proto.internal import GetTimeTickChannelRequest
from milvus_coord.pb.milvus.proto.milvus import StringResponse
from milvus_coord.role.warmup import warm_up_calls
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer, ServerState
from milvus_coord.wire.codec import WireCodec


class Counting:
    """A service whose first method refuses, and whose second answers."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __mapping__(self) -> dict[str, Handler]:
        return {"/t.T/Refuse": _unary(self._refuse), "/t.T/Answer": _unary(self._answer)}

    async def _refuse(self, stream: Any) -> None:
        await stream.recv_message()
        self.called.append("refuse")
        raise GRPCError(Status.ABORTED, "not today")

    async def _answer(self, stream: Any) -> None:
        assert await stream.recv_message() == GetTimeTickChannelRequest()
        self.called.append("answer")
        await stream.send_message(StringResponse())


def _unary(handler: Any) -> Handler:
    unary = Cardinality.UNARY_UNARY
    return Handler(handler, unary, GetTimeTickChannelRequest, StringResponse)


def _server(service: Counting) -> RpcServer:
    guards = Guards("by-dev", lambda: 0)
    return RpcServer((service,), codec=WireCodec(), limits=Limits(), guards=guards)


async def test_each_method_is_called_once_whatever_it_answers() -> None:
    service = Counting()
    server = _server(service)
    await warm_up_calls(server, service.__mapping__())
    assert service.called == ["refuse", "answer"]
    assert (server.state, server.connections) == (ServerState.CLOSED, 0)


async def test_nothing_stays_behind() -> None:
    service = Counting()
    await warm_up_calls(_server(service), service.__mapping__())  # a loop opens some for itself

    def held() -> tuple[int, set[asyncio.Task[Any]]]:
        return len(os.listdir("/proc/self/fd")), asyncio.all_tasks()

    before = held()
    await warm_up_calls(_server(service), service.__mapping__())
    async with asyncio.timeout(5):  # both ends close in later turns of the loop
        while held() != before:
            await asyncio.sleep(0)
