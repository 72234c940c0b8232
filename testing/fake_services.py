"""Coordinators and nodes that record what they are asked, behind real servers on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from milvus_coord.clients.active_channel import Endpoint
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.pb.milvus.proto.data import DataCoordBase, DataNodeBase
from milvus_coord.pb.milvus.proto.index import IndexCoordBase, IndexNodeBase
from milvus_coord.pb.milvus.proto.proxy import ProxyBase
from milvus_coord.pb.milvus.proto.query import QueryCoordBase, QueryNodeBase
from milvus_coord.pb.milvus.proto.rootcoord import RootCoordBase
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.wire.codec import WireCodec
from milvus_coord.wire.status import fail

T = TypeVar("T")


class Recorder:
    """What all fakes have.

    `asked` holds (method, request); `refusals` are statuses to answer with first, in order; while
    `hold` is set, calls wait for it. `replies` are answered by method, else an empty reply.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.refusals: list[Status] = []
        self.replies: dict[str, Any] = {}
        self.hold: asyncio.Event | None = None

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    def requests(self, method: str) -> list[Any]:
        return [request for name, request in self.asked if name == method]

    async def handle(self, method: str, request: Any, reply_type: type[T]) -> T:
        self.asked.append((method, request))
        if self.hold is not None:
            await self.hold.wait()
        if self.refusals:
            status: Any = self.refusals.pop(0)
            answer: Any = reply_type
            refused: T = status if answer is Status else answer(status=status)
            return refused
        reply: T = self.replies.get(method, reply_type())
        return reply


def _recording(base: type[Any]) -> type[Any]:
    """A subclass of a generated base whose every method goes to `handle`."""
    methods: dict[str, Any] = {}
    for path, handler in base().__mapping__().items():
        method, reply_type = path.rpartition("/")[2], handler.reply_type
        name = handler.func.__name__.partition("__rpc_")[2]

        async def answer(
            self: Any, request: Any, method: str = method, reply_type: Any = reply_type
        ) -> Any:
            return await self.recorder.handle(method, request, reply_type)

        methods[name] = answer
    return type(f"Fake{base.__name__}", (base,), methods)


BASES = {
    "rootcoord": RootCoordBase,
    "datanode": DataNodeBase,
    "indexnode": IndexNodeBase,
    "querynode": QueryNodeBase,
    "datacoord": DataCoordBase,
    "querycoord": QueryCoordBase,
    "indexcoord": IndexCoordBase,
    "proxy": ProxyBase,
}


@dataclass
class Fake:
    """One running fake; `peer` is what its session says."""

    recorder: Recorder
    server: RpcServer
    port: int
    server_id: int

    @property
    def peer(self) -> Endpoint:
        return Endpoint(f"127.0.0.1:{self.port}", self.server_id)


@contextlib.asynccontextmanager
async def fake(
    role: str, *, server_id: int = 7, cluster: str = "by-dev", port: int = 0
) -> AsyncIterator[Fake]:
    """Serve a fake of `role` inside the block."""
    recorder = Recorder()
    service = _recording(BASES[role])()
    service.recorder = recorder
    server = RpcServer(
        [service], codec=WireCodec(), limits=Limits(), guards=Guards(cluster, lambda: server_id)
    )
    with ReservedPort.bind("127.0.0.1", port) as reserved:
        await server.listen(reserved)
        try:
            yield Fake(recorder, server, reserved.address[1], server_id)
        finally:
            if recorder.hold is not None:
                recorder.hold.set()
            await server.abort()


@dataclass
class Registry:
    """A resolver whose answer tests change; `failures` are raised first, `reads` counts."""

    peer: Endpoint | None = None
    failures: list[Exception] = field(default_factory=list)
    reads: int = 0

    async def __call__(self) -> Endpoint | None:
        self.reads += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return self.peer


def refusal(code: int, reason: str) -> Status:
    """A status that is no success; `code` is an ErrorCode."""
    return fail(code, reason)
