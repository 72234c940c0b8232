"""The client against a server that sends exactly the frames a test asks for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import h2.events
import pytest
from grpclib.const import Status
from h2.errors import ErrorCodes

from milvus_coord.rpc.http2.channel import Channel
from milvus_coord.rpc.http2.client_connection import KeepAlive
from milvus_coord.rpc.http2.unary import RpcError
from testing.raw_http2 import RawConnection, raw_server
from testing.rpc import SERVICE, RawCodec, eventually


@contextlib.contextmanager
def _channel(address: str, keep_alive: KeepAlive | None = None) -> Iterator[Channel]:
    channel = Channel(address, codec=RawCodec(), metadata={}, keep_alive=keep_alive)
    try:
        yield channel
    finally:
        channel.close()


async def _ask(channel: Channel, *, timeout_s: float = 5.0) -> bytes:
    return await channel.unary(f"{SERVICE}/Echo", b"ping", bytes, timeout_s=timeout_s)


def _pong(connection: RawConnection, stream_id: int) -> None:
    connection.reply(stream_id)


def _nothing(connection: RawConnection, stream_id: int) -> None:
    """Let the client wait."""


async def test_a_reply_with_a_goaway_behind_it_in_one_write_is_not_lost() -> None:
    def answer(connection: RawConnection, stream_id: int) -> None:
        connection.reply(stream_id)
        connection.send_all(connection.goaway(stream_id))
        connection.transport.close()

    async with raw_server(answer) as server:
        with _channel(server.address) as channel:
            for _ in range(20):
                assert await _ask(channel) == b"pong"
    assert len(server.connections) == 20


async def test_an_error_with_a_goaway_behind_it_keeps_its_code() -> None:
    def answer(connection: RawConnection, stream_id: int) -> None:
        connection.h2.send_headers(
            stream_id,
            [
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", str(Status.NOT_FOUND.value)),
                ("grpc-message", "no%20such thing"),
            ],
            end_stream=True,
        )
        connection.send_all(connection.goaway(stream_id))
        connection.transport.close()

    async with raw_server(answer) as server:
        with _channel(server.address) as channel, pytest.raises(RpcError) as failed:
            await _ask(channel)
    assert failed.value.code is Status.NOT_FOUND
    assert failed.value.message == "no such thing"


async def test_a_call_that_the_goaway_promises_to_answer_is_answered_behind_it() -> None:
    waiting: list[tuple[RawConnection, int]] = []

    async with raw_server(lambda *call: waiting.append(call)) as server:
        with _channel(server.address) as channel:
            early = asyncio.create_task(_ask(channel), name="early")
            await eventually(lambda: len(waiting) == 1)
            connection, stream_id = waiting[0]
            connection.send_all(connection.goaway(stream_id))
            await asyncio.sleep(0)
            late = asyncio.create_task(_late(channel), name="late")
            await eventually(lambda: len(waiting) == 2)
            assert waiting[1][0] is not connection, "a new call went to the one that leaves"
            for old, stream in waiting:
                old.reply(stream)
                old.flush()
            assert await early == b"pong"
            assert await late == b"pong"
            async with asyncio.timeout(5):
                await connection.lost.wait()  # idle, so we hang up


async def _late(channel: Channel) -> bytes:
    while (connection := channel._connection) is not None and connection.usable:
        await asyncio.sleep(0.001)
    return await _ask(channel)


async def test_a_call_that_the_goaway_leaves_out_was_certainly_not_seen() -> None:
    def answer(connection: RawConnection, stream_id: int) -> None:
        connection.send_all(connection.goaway(0))

    async with raw_server(answer) as server:
        with _channel(server.address) as channel, pytest.raises(RpcError) as failed:
            await _ask(channel)
    assert failed.value.code is Status.UNAVAILABLE
    assert failed.value.unseen
    assert "bye" in failed.value.message


@pytest.mark.parametrize(
    ("code", "unseen"), [(ErrorCodes.REFUSED_STREAM, True), (ErrorCodes.INTERNAL_ERROR, False)]
)
async def test_a_reset_says_whether_the_call_was_seen(code: ErrorCodes, unseen: bool) -> None:
    def answer(connection: RawConnection, stream_id: int) -> None:
        connection.h2.reset_stream(stream_id, code)

    async with raw_server(answer) as server:
        with _channel(server.address) as channel:
            with pytest.raises(RpcError) as failed:
                await _ask(channel)
            assert failed.value.unseen is unseen
            server.answer = _pong
            assert await _ask(channel) == b"pong"
    assert len(server.connections) == 1


async def test_a_connection_that_ends_in_mid_call_leaves_it_open_what_happened() -> None:
    async with raw_server(lambda connection, _: connection.transport.abort()) as server:
        with _channel(server.address) as channel, pytest.raises(RpcError) as failed:
            await _ask(channel)
    assert failed.value.code is Status.UNAVAILABLE
    assert not failed.value.unseen


async def test_half_a_reply_is_no_reply() -> None:
    def answer(connection: RawConnection, stream_id: int) -> None:
        connection.h2.send_headers(stream_id, [(":status", "200")])
        connection.h2.send_data(stream_id, b"\0\0\0\0\x04po")
        connection.flush()
        connection.transport.close()

    async with raw_server(answer) as server:
        with _channel(server.address) as channel, pytest.raises(RpcError) as failed:
            await _ask(channel)
    assert failed.value.code is Status.UNAVAILABLE


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "status OK without a reply"),
        (b"\0\0", "a reply of 2 bytes has no prefix"),
        (b"\x01\0\0\0\x01x", "the reply is compressed"),
        (b"\0\0\0\0\x09x", "a reply of 9 bytes came with 1"),
    ],
)
async def test_what_is_no_message_is_an_error(body: bytes, text: str) -> None:
    def answer(connection: RawConnection, stream_id: int) -> None:
        connection.h2.send_headers(stream_id, [(":status", "200")])
        connection.h2.send_data(stream_id, body)
        connection.h2.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)

    async with raw_server(answer) as server:
        with _channel(server.address) as channel, pytest.raises(RpcError) as failed:
            await _ask(channel)
    assert failed.value.message == text


async def test_an_http_error_is_told() -> None:
    def answer(connection: RawConnection, stream_id: int) -> None:
        connection.h2.send_headers(stream_id, [(":status", "503")], end_stream=True)

    async with raw_server(answer) as server:
        with _channel(server.address) as channel, pytest.raises(RpcError) as failed:
            await _ask(channel)
    assert (failed.value.code, failed.value.message) == (Status.UNAVAILABLE, "HTTP status '503'")


async def test_what_breaks_http2_ends_the_connection_and_a_new_one_is_made() -> None:
    data_of_no_stream = b"\0\0\1" + bytes(6) + b"x"

    async with raw_server(lambda connection, _: connection.send_all(data_of_no_stream)) as server:
        with _channel(server.address) as channel:
            with pytest.raises(RpcError) as failed:
                await _ask(channel)
            assert failed.value.message.startswith("protocol error")
            server.answer = _pong
            assert await _ask(channel) == b"pong"


async def test_an_idle_connection_is_pinged_and_kept_while_the_peer_answers() -> None:
    async with raw_server(_pong) as server:
        with _channel(server.address, KeepAlive(time_s=0.03, timeout_s=5.0)) as channel:
            await _ask(channel)
            (connection,) = server.connections
            await eventually(
                lambda: (
                    sum(isinstance(each, h2.events.PingReceived) for each in connection.events) >= 3
                )
            )
            assert await _ask(channel) == b"pong"
    assert len(server.connections) == 1


async def test_a_dead_peer_is_noticed_on_an_idle_connection() -> None:
    async with raw_server(_pong) as server:
        with _channel(server.address, KeepAlive(time_s=0.05, timeout_s=0.1)) as channel:
            await _ask(channel)
            (connection,) = server.connections
            connection.deaf = True
            async with asyncio.timeout(5):
                await connection.lost.wait()
            assert await _ask(channel) == b"pong"
    assert len(server.connections) == 2


async def test_a_dead_peer_is_noticed_while_a_call_waits() -> None:
    def deafen(connection: RawConnection, _: int) -> None:
        connection.deaf = True

    async with raw_server(deafen) as server:
        with _channel(server.address, KeepAlive(time_s=0.05, timeout_s=0.1)) as channel:
            began_s = time.monotonic()
            with pytest.raises(RpcError, match="the peer was silent") as failed:
                await _ask(channel, timeout_s=30.0)
            assert time.monotonic() - began_s < 5
    assert failed.value.code is Status.UNAVAILABLE


async def test_no_more_streams_than_the_peer_allows() -> None:
    waiting: list[tuple[RawConnection, int]] = []
    async with raw_server(lambda *call: waiting.append(call), streams_max=2) as server:
        with _channel(server.address) as channel:
            server.answer = _pong
            await _ask(channel)  # its settings have come
            server.answer = lambda *call: waiting.append(call)
            calls = [asyncio.create_task(_ask(channel), name="call") for _ in range(5)]
            for answered in range(5):
                expected = min(answered + 2, 5)
                await eventually(lambda: len(waiting) >= expected)  # noqa: B023 - called in this turn
                assert len(waiting) == expected
                connection, stream_id = waiting[answered]
                connection.reply(stream_id)
                connection.flush()
            assert await asyncio.gather(*calls) == [b"pong"] * 5


async def test_a_caller_that_waits_for_a_stream_is_told_that_the_connection_has_ended() -> None:
    async with raw_server(_pong, streams_max=1) as server:
        with _channel(server.address) as channel:
            await _ask(channel)
            server.answer = _nothing
            calls = [asyncio.create_task(_ask(channel), name="call") for _ in range(2)]
            await eventually(lambda: server.requests == 2)
            server.connections[0].transport.abort()
            async with asyncio.timeout(5):
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, RpcError) and each.unseen for each in outcomes] == [False, True]


async def test_a_cancelled_call_resets_its_stream() -> None:
    async with raw_server(_nothing) as server:
        with _channel(server.address) as channel:
            call = asyncio.create_task(_ask(channel), name="call")
            await eventually(lambda: server.requests == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            (connection,) = server.connections
            await eventually(
                lambda: any(
                    isinstance(each, h2.events.StreamReset) and each.error_code == ErrorCodes.CANCEL
                    for each in connection.events
                )
            )
