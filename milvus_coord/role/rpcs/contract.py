"""The RPCs of a role's generated service, by the names of the methods that answer them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from betterproto.casing import safe_snake_case
from grpclib.const import Cardinality, Handler

from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.wire.requests import RawRequest, UpbRequest

Answer = Callable[[UpbRequest], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Rpc:
    """One unary RPC; `path` is "/milvus.proto.rootcoord.RootCoord/AllocID"."""

    path: str
    request_type: RawRequest
    reply_type: Any

    @property
    def name(self) -> str:
        """As in protos/: "AllocID"."""
        return self.path.rpartition("/")[2]

    def failed(self, status: Status, **fields: object) -> Any:
        """The reply that carries `status` and nothing but `fields` beside it."""
        return status if self.reply_type is Status else self.reply_type(status=status, **fields)

    def handler(self, answer: Answer) -> Handler:
        """What a server needs in order to let `answer` answer; requests are upb messages."""

        async def serve(stream: Any) -> None:
            await stream.send_message(await answer(await stream.recv_message()))

        return Handler(serve, Cardinality.UNARY_UNARY, self.request_type, self.reply_type)


class Contract:
    """What a role owes its callers: every RPC of the generated `service`.

    `role` is its name as in session keys ("rootcoord"). `rpcs` has them by the names of methods:
    "alloc_id".
    """

    def __init__(self, role: str, service: Service) -> None:
        self.role = role
        self.rpcs: Mapping[str, Rpc] = MappingProxyType(
            {
                safe_snake_case(path.rpartition("/")[2]): Rpc(
                    path, RawRequest.of(handler.request_type), handler.reply_type
                )
                for path, handler in service.__mapping__().items()
            }
        )

    def message_types(self) -> Iterator[Any]:
        """What the codec reads and writes for all of them."""
        for rpc in self.rpcs.values():
            yield rpc.request_type
            yield rpc.reply_type
