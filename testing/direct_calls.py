"""RPCs called without a socket: their bytes go through the codec, both ways."""

from __future__ import annotations

from typing import Any, Final

from grpclib.const import Cardinality, Handler

from milvus_coord.wire.codec import WireCodec
from testing import messages

_CODEC: Final = WireCodec()


class DirectCalls:
    """Calls the methods of one service, by their names and the fields of their requests.

    Attributes:
        service: without `milvus.proto.` ("rootcoord.RootCoord").
        methods: by their whole paths, as grpclib has them.
    """

    service = "rootcoord.RootCoord"
    methods: dict[str, Handler]

    async def call(self, rpc: str, **fields: Any) -> Any:
        """The reply to one RPC, its bytes read by protobuf; raises what the call raises."""
        request, _ = messages.method_types(f"{self.service}/{rpc}")
        return await self.call_bytes(rpc, request(**fields).SerializeToString())

    async def call_bytes(self, rpc: str, data: bytes) -> Any:
        """As `call`, of a request that is bytes already."""
        _, reply = messages.method_types(f"{self.service}/{rpc}")
        handler = self.methods[f"/milvus.proto.{self.service}/{rpc}"]
        assert handler.cardinality is Cardinality.UNARY_UNARY
        stream: Any = _Stream(_CODEC.decode(data, handler.request_type))
        await handler.func(stream)
        return reply.FromString(_CODEC.encode(stream.reply, handler.reply_type))


class _Stream:
    def __init__(self, request: object) -> None:
        self._request = request
        self.reply: Any = None

    async def recv_message(self) -> object:
        return self._request

    async def send_message(self, reply: object) -> None:
        self.reply = reply
