"""The client against a server of the gRPC C core, which is as strict about HTTP/2 as Go's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc as untyped_grpc
import pytest
from grpclib.const import Status

from milvus_coord.rpc.http2.channel import Channel, member_metadata
from milvus_coord.rpc.http2.unary import RpcError
from testing.rpc import RawCodec

grpc: Any = untyped_grpc


class Generic(grpc.GenericRpcHandler):  # type: ignore[misc]
    """`/s/Echo` answers what was asked, `/s/Fail` an error, `/s/Seen` the metadata."""

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2].lower()
        return grpc.unary_unary_rpc_method_handler(getattr(self, method))

    def echo(self, request: bytes, context: Any) -> bytes:
        return request

    def fail(self, request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "kein Ärger, 100 %")
        raise AssertionError

    def seen(self, request: bytes, context: Any) -> bytes:
        metadata = dict(context.invocation_metadata())
        assert 10 < context.time_remaining() <= 20.1
        return f"{metadata['cluster']} {metadata['serverid']}".encode()


@pytest.fixture
def address() -> Iterator[str]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    server.add_generic_rpc_handlers((Generic(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


async def test_calls_of_all_kinds(address: str) -> None:
    channel = Channel(address, codec=RawCodec(), metadata=member_metadata("by-dev", 7))
    try:
        for size in (0, 1, 70_000, 5_000_000):
            payload = b"x" * size
            assert await channel.unary("/s/Echo", payload, bytes, timeout_s=20.0) == payload
        assert await channel.unary("/s/Seen", b"", bytes, timeout_s=20.0) == b"by-dev 7"
        with pytest.raises(RpcError) as failed:
            await channel.unary("/s/Fail", b"", bytes, timeout_s=5.0)
        assert failed.value.code is Status.NOT_FOUND
        assert failed.value.message == "kein Ärger, 100 %"
        calls = (channel.unary("/s/Echo", b"%d" % n, bytes, timeout_s=10.0) for n in range(200))
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(200)]
    finally:
        channel.close()
