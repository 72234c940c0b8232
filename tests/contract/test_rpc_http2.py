"""Limits, keepalive and odd clients: what a connection bears and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
from grpclib.const import Status

from milvus_coord.rpc.server.limits import Limits
from testing.rpc import SERVICE, CoreClient, Served, ask, closing_channel, eventually, serving

MIB = 1 << 20
_HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", f"{SERVICE}/Echo"),
    (":authority", "test"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
_MESSAGE = b"\0\0\0\0\x01x"


class Http2:
    """A bare HTTP/2 client that shows every event."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.session = h2.connection.H2Connection(
            h2.config.H2Configuration(
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.session.initiate_connection()
        self.events: list[h2.events.Event] = []

    async def flush(self) -> None:
        self.writer.write(self.session.data_to_send())
        await self.writer.drain()

    async def until(self, kind: type[h2.events.Event], count: int = 1) -> list[Any]:
        """The events of `kind`, once there are `count` of them."""
        await self.flush()
        async with asyncio.timeout(10):
            while True:
                found = [event for event in self.events if isinstance(event, kind)]
                if len(found) >= count:
                    return found
                data = await self._reader.read(1 << 16)
                assert data, f"connection closed after {self.events}"
                self.events += self.session.receive_data(data)
                await self.flush()

    def request(self, headers: list[tuple[Any, Any]], body: bytes | None = _MESSAGE) -> int:
        stream_id = self.session.get_next_available_stream_id()
        self.session.send_headers(stream_id, headers)
        if body is not None:
            self.session.send_data(stream_id, body, end_stream=True)
        return stream_id


@contextlib.asynccontextmanager
async def http2(served: Served) -> AsyncIterator[Http2]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        yield Http2(reader, writer)
    finally:
        writer.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def no_noise(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Any:
    """Nothing that a client does may be logged as our error, by us or by a library."""
    yield
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    output = capsys.readouterr()
    assert "[ERROR]" not in output.out
    assert "Traceback" not in output.out + output.err


async def test_a_request_over_the_limit_is_refused_and_the_connection_lives() -> None:
    async with serving(limits=Limits(receive_bytes_max=MIB)) as served:
        core = CoreClient(served.target)
        for _ in range(4):  # 32 MiB in all: more than the window, were it not given back
            code, text = await core.ask("Echo", bytes(8 * MIB))
            assert code == "RESOURCE_EXHAUSTED"
            assert text == f"request message of {8 * MIB} bytes is over the limit of {MIB}"
        assert (await core.ask("Echo", bytes(MIB)))[0] == "OK"
        assert served.server.connections == 1
        core.close()
    assert len(served.probe.echoed) == 1


async def test_a_reply_over_the_limit_is_not_sent() -> None:
    async with serving(limits=Limits(send_bytes_max=MIB)) as served:
        core = CoreClient(served.target)
        assert await core.ask("Inflate", b"%d" % (MIB + 1)) == (
            "RESOURCE_EXHAUSTED",
            f"reply message of {MIB + 1} bytes is over the limit of {MIB}",
        )
        assert len((await core.ask("Inflate", b"%d" % MIB))[1]) == MIB
        core.close()


async def test_large_messages_pass_both_ways(served: Served) -> None:
    core = CoreClient(served.target)
    payload = bytes(range(256)) * (20 * MIB // 256)
    assert await core.ask("Echo", payload) == ("OK", payload)
    core.close()


async def test_a_large_reply_leaves_the_loop_to_others(served: Served) -> None:
    """Calls on another connection are answered while 32 MiB are being sent."""
    core = CoreClient(served.target)
    with closing_channel(served) as channel:
        await ask(channel, "Echo")
        large = core.start("Inflate", b"%d" % (32 * MIB))
        answered = 0
        while not large.done():
            await ask(channel, "Echo")
            answered += 1
    assert answered > 10
    assert len(large.result()) == 32 * MIB
    core.close()


async def test_what_the_settings_announce() -> None:
    async with serving(limits=Limits(streams_max=1234)) as served, http2(served) as client:
        changed = (await client.until(h2.events.RemoteSettingsChanged))[0].changed_settings
        codes = h2.settings.SettingCodes
        assert changed[codes.MAX_CONCURRENT_STREAMS].new_value == 1234
        assert changed[codes.INITIAL_WINDOW_SIZE].new_value == 16 * MIB
        updates = await client.until(h2.events.WindowUpdated)
        assert updates[0].delta == 16 * MIB - 65_535


async def test_2000_pings_are_answered_without_goaway(served: Served) -> None:
    async with http2(served) as client:
        for n in range(2000):
            client.session.ping(b"%08d" % n)
        assert len(await client.until(h2.events.PingAckReceived, 2000)) == 2000
        client.request(_HEADERS)
        await client.until(h2.events.StreamEnded)
        kinds = {type(event) for event in client.events}
        assert h2.events.ConnectionTerminated not in kinds


async def test_an_unknown_frame_is_ignored(served: Served) -> None:
    async with http2(served) as client:
        await client.until(h2.events.RemoteSettingsChanged)
        client.writer.write(b"\0\0\x03\xfa\0\0\0\0\0abc")  # length 3, type 250, stream 0
        client.request(_HEADERS)
        data = await client.until(h2.events.DataReceived)
        assert data[0].data == _MESSAGE


@pytest.mark.parametrize(
    ("changed", "http_status"),
    [((":method", "GET"), b"405"), (("content-type", "text/plain"), b"415")],
)
async def test_what_is_not_grpc_gets_an_http_status(
    served: Served, changed: tuple[str, str], http_status: bytes
) -> None:
    headers = [changed if key == changed[0] else (key, value) for key, value in _HEADERS]
    async with http2(served) as client:
        client.request(headers)
        response = (await client.until(h2.events.ResponseReceived))[0]
        assert dict(response.headers)[b":status"] == http_status


@pytest.mark.parametrize(
    ("extra", "body", "status"),
    [
        ((b"note", b"caf\xe9"), _MESSAGE, Status.OK),
        ((b"key-bin", b"A"), _MESSAGE, Status.INTERNAL),
        ((b"grpc-timeout", b"soon"), _MESSAGE, Status.INTERNAL),
        ((b"grpc-timeout", b"9" * 1000 + b"S"), _MESSAGE, Status.INTERNAL),
        ((b"grpc-timeout", b"9" * 5000 + b"n"), _MESSAGE, Status.INTERNAL),
        ((b"a", b"b"), b"\x01\0\0\0\x01x", Status.UNIMPLEMENTED),
        ((b"a", b"b"), b"\0\0\0\0\x09x", Status.INVALID_ARGUMENT),
        ((b"a", b"b"), b"\0\0", Status.INVALID_ARGUMENT),
        ((b"a", b"b"), b"", Status.INVALID_ARGUMENT),
    ],
)
async def test_odd_requests_get_a_status(
    served: Served, extra: tuple[bytes, bytes], body: bytes, status: Status
) -> None:
    async with http2(served) as client:
        client.request([*_HEADERS, extra], body)
        await client.until(h2.events.StreamEnded)
        ends = [
            dict(event.headers)
            for event in client.events
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived)
        ]
        assert ends[-1][b"grpc-status"] == b"%d" % status.value


async def test_calls_that_are_reset_at_once_leave_nothing_behind(served: Served) -> None:
    async with http2(served) as client:
        for _ in range(500):
            stream_id = client.request(_HEADERS, None)
            client.session.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        client.session.ping(b"flushing")
        await client.until(h2.events.PingAckReceived)
        await eventually(lambda: served.server.in_flight == 0)
        (connection,) = served.server._connections
        assert connection.processor.streams == {}
        client.request(_HEADERS)
        assert (await client.until(h2.events.DataReceived))[0].data == _MESSAGE


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # a TLS hello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\5\4\0\0\0\0\0abcde",  # settings of 5 bytes
    ],
    ids=["http1", "tls", "frame"],
)
async def test_what_is_not_http2_is_hung_up_on(served: Served, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    with contextlib.closing(writer):
        writer.write(data)
        async with asyncio.timeout(5):
            await reader.read()
    with closing_channel(served) as channel:
        assert await ask(channel, "Echo") == b"x"


async def test_a_peer_that_stops_answering_pings_is_dropped() -> None:
    limits = Limits(keepalive_time_s=0.1, keepalive_timeout_s=0.1)
    async with (
        serving(limits=limits) as served,
        http2(served) as silent,
        http2(served) as lively,
    ):
        silent.request([*_HEADERS[:2], (":path", f"{SERVICE}/Hold"), *_HEADERS[3:]])
        await silent.flush()
        await served.probe.entered.acquire()
        pinged = asyncio.create_task(lively.until(h2.events.PingReceived, 5), name="lively")
        async with asyncio.timeout(5):
            await served.probe.cancelled.wait()
        await pinged
        assert served.server.connections == 1


@pytest.mark.parametrize("read_first", [0, 1])
async def test_a_socket_closed_under_large_replies_costs_no_noise(
    served: Served, read_first: int
) -> None:
    headers = [*_HEADERS[:2], (":path", f"{SERVICE}/Inflate"), *_HEADERS[3:]]
    for _ in range(3):
        async with http2(served) as client:
            client.session.increment_flow_control_window(1 << 30)
            client.session.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
            for _ in range(10):
                client.request(headers, b"\0\0\0\0\x072097152")  # 2 MiB each
            await client.until(h2.events.DataReceived, read_first)
            client.writer.transport.abort()
    await eventually(lambda: served.server.connections == 0)
    await eventually(lambda: served.server.in_flight == 0)
    with closing_channel(served) as channel:
        assert await ask(channel, "Echo") == b"x"


async def test_more_streams_than_announced_wait_in_the_client() -> None:
    async with serving(limits=Limits(streams_max=5)) as served:
        core = CoreClient(served.target)
        assert (await core.ask("Echo"))[0] == "OK"  # the settings have arrived
        calls = [core.start("Hold") for _ in range(12)]
        for _ in range(5):
            await served.probe.entered.acquire()
        assert served.server.in_flight == 5
        served.probe.release.set()
        assert await asyncio.to_thread(lambda: [call.result() for call in calls]) == [b"x"] * 12
        core.close()
