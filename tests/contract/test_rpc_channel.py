"""The client: metadata, one kind of error, a connect timeout."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from grpclib.const import Status

from milvus_coord.pb.milvus.proto.internal import GetTimeTickChannelRequest
from milvus_coord.pb.milvus.proto.milvus import (
    ComponentStates,
    GetComponentStatesRequest,
    StringResponse,
)
from milvus_coord.pb.milvus.proto.rootcoord import RootCoordBase
from milvus_coord.rpc.http2.channel import Channel, member_metadata
from milvus_coord.rpc.http2.unary import RpcError
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.wire.codec import WireCodec
from testing.rpc import SERVICE, RawCodec, Served, serving


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@contextlib.contextmanager
def _channel(address: str, *, cluster: str = "by-dev", server_id: int = 1) -> Iterator[Channel]:
    channel = Channel(address, codec=RawCodec(), metadata=member_metadata(cluster, server_id))
    try:
        yield channel
    finally:
        channel.close()


async def _echo(channel: Channel, *, timeout_s: float = 5.0) -> bytes:
    return await channel.unary(f"{SERVICE}/Echo", b"x", bytes, timeout_s=timeout_s)


async def test_every_request_carries_what_milvus_expects(served: Served) -> None:
    with _channel(served.target) as channel:
        assert await _echo(channel) == b"x"
    (call,) = served.probe.echoed
    assert dict(call.metadata) == {
        "cluster": "by-dev",
        "serverid": "1",
        "sourceid": "QEBtaWx2dXMtbWVtYmVyQEA=",
    }


async def test_a_refusal_keeps_code_and_text(served: Served) -> None:
    with _channel(served.target, server_id=999) as channel, pytest.raises(RpcError) as failed:
        await _echo(channel)
    assert failed.value.code is Status.UNKNOWN
    assert failed.value.message.endswith("server ID mismatch")
    assert str(failed.value).startswith(f"{served.target}: UNKNOWN: expected=")


async def test_nobody_there_is_unavailable() -> None:
    with ReservedPort.bind("127.0.0.1", 0) as nobody:  # bound, and refusing
        address = f"127.0.0.1:{nobody.address[1]}"
        with _channel(address) as channel, pytest.raises(RpcError) as failed:
            await _echo(channel)
    assert failed.value.code is Status.UNAVAILABLE
    assert isinstance(failed.value.__cause__, ConnectionRefusedError)


@pytest.mark.parametrize("address", ["127.0.0.1:70000", "a..b:1", f"{'a' * 64}:1"])
async def test_an_address_that_cannot_be_is_unavailable(address: str) -> None:
    with _channel(address) as channel, pytest.raises(RpcError) as failed:
        await _echo(channel)
    assert failed.value.code is Status.UNAVAILABLE


async def test_no_reply_in_time_is_deadline_exceeded(served: Served) -> None:
    with _channel(served.target) as channel, pytest.raises(RpcError) as failed:
        await channel.unary(f"{SERVICE}/Hold", b"x", bytes, timeout_s=0.1)
    assert failed.value.code is Status.DEADLINE_EXCEEDED


async def test_a_connection_that_is_not_accepted_times_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # fills the queue
            began_s = time.monotonic()
            with _channel(f"127.0.0.1:{port}") as channel, pytest.raises(RpcError) as failed:
                await _echo(channel)
            assert 0.15 < time.monotonic() - began_s < 2
    assert failed.value.code is Status.UNAVAILABLE
    assert failed.value.message == "no connection within 0.2 s"


async def test_a_server_that_aborts_is_unavailable_and_a_new_one_is_found() -> None:
    async with serving() as first:
        with _channel(first.target) as channel:
            held = asyncio.create_task(
                channel.unary(f"{SERVICE}/Hold", b"x", bytes, timeout_s=5.0), name="held"
            )
            await first.probe.entered.acquire()
            await first.server.abort()
            with pytest.raises(RpcError) as failed:
                await held
            assert failed.value.code is Status.UNAVAILABLE
            async with serving(port=first.port):
                assert await _echo(channel) == b"x"


async def test_generated_messages_and_bases_work_on_both_ends() -> None:
    class Root(RootCoordBase):
        async def get_component_states(self, _: GetComponentStatesRequest) -> ComponentStates:
            return ComponentStates()

    server = RpcServer(
        [Root()], codec=WireCodec(), limits=Limits(), guards=Guards("by-dev", lambda: 1)
    )
    with ReservedPort.bind("127.0.0.1", 0) as reserved:
        await server.listen(reserved)
        channel = Channel(
            f"127.0.0.1:{reserved.address[1]}",
            codec=WireCodec(on_damage=Status.INTERNAL),
            metadata=member_metadata("by-dev", 1),
        )
        try:
            reply = await channel.unary(
                f"{SERVICE}/GetComponentStates",
                GetComponentStatesRequest(),
                ComponentStates,
                timeout_s=5.0,
            )
            assert isinstance(reply, ComponentStates)
            with pytest.raises(RpcError) as failed:
                await channel.unary(
                    f"{SERVICE}/GetTimeTickChannel",
                    GetTimeTickChannelRequest(),
                    StringResponse,
                    timeout_s=5.0,
                )
        finally:
            channel.close()
            await server.abort()
    assert failed.value.code is Status.UNIMPLEMENTED
    assert failed.value.message == "GetTimeTickChannel is not implemented by this rootcoord yet"


@pytest.mark.parametrize("size", [0, 1, 100_000, 20_000_000])
async def test_messages_of_all_sizes_go_both_ways(served: Served, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with _channel(served.target) as channel:
        assert await channel.unary(f"{SERVICE}/Echo", payload, bytes, timeout_s=20.0) == payload


async def test_many_calls_at_once_share_one_connection(served: Served) -> None:
    with _channel(served.target) as channel:
        replies = await asyncio.gather(
            *(
                channel.unary(f"{SERVICE}/Echo", b"%d" % index, bytes, timeout_s=10.0)
                for index in range(300)
            )
        )
        assert replies == [b"%d" % index for index in range(300)]
        assert served.server.connections == 1


async def test_a_cancelled_call_is_cancelled_on_the_other_side(served: Served) -> None:
    with _channel(served.target) as channel:
        held = asyncio.create_task(
            channel.unary(f"{SERVICE}/Hold", b"x", bytes, timeout_s=5.0), name="held"
        )
        await served.probe.entered.acquire()
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        async with asyncio.timeout(5):
            await served.probe.cancelled.wait()
        assert await _echo(channel) == b"x"


async def test_a_deadline_leaves_no_cancellation_behind(served: Served) -> None:
    with _channel(served.target) as channel:
        async with asyncio.timeout(5):
            with pytest.raises(RpcError):
                await channel.unary(f"{SERVICE}/Hold", b"x", bytes, timeout_s=0.05)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_those_who_wait_for_one_connection_share_its_failure() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)),
            _channel(f"127.0.0.1:{port}") as channel,
        ):
            began_s = time.monotonic()
            outcomes = await asyncio.gather(
                *(_echo(channel) for _ in range(20)), return_exceptions=True
            )
            assert time.monotonic() - began_s < 2  # and not 20 * 0.2 s
    assert all(isinstance(each, RpcError) and each.unseen for each in outcomes)


async def test_a_closed_channel_refuses() -> None:
    async with serving() as served:
        with _channel(served.target) as channel:
            await _echo(channel)
        with pytest.raises(RpcError, match="the channel is closed"):
            await _echo(channel)
