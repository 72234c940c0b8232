"""A server that answers with whatever frames a test wants, in one write."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

Answer: TypeAlias = Callable[["RawConnection", int], None]


class RawConnection(asyncio.Protocol):
    """One client. `answer` is called with each complete request and its stream id.

    `deaf` connections process nothing that comes in, and so answer no ping.
    """

    transport: asyncio.Transport

    def __init__(self, server: RawServer) -> None:
        self.server = server
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self.events: list[h2.events.Event] = []
        self.lost = asyncio.Event()
        self.deaf = False
        self.received = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server.connections.append(self)
        if self.server.streams_max:
            self.h2.local_settings = Settings(
                client=False,
                initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: self.server.streams_max},
            )
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.deaf:
            return
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.server.requests += 1
                self.server.answer(self, event.stream_id)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def flush(self) -> None:
        """Send all that h2 has made, in one write."""
        if (data := self.h2.data_to_send()) and not self.transport.is_closing():
            self.transport.write(data)

    def reply(self, stream_id: int, body: bytes = b"pong", *, status: str = "0") -> None:
        """HEADERS, DATA and trailers of one answer; nothing is sent before `flush`."""
        headers = [(":status", "200"), ("content-type", "application/grpc")]
        self.h2.send_headers(stream_id, headers)
        self.h2.send_data(stream_id, b"\0" + len(body).to_bytes(4, "big") + body)
        self.h2.send_headers(stream_id, [("grpc-status", status)], end_stream=True)

    def goaway(self, last_stream_id: int, *, text: bytes = b"bye") -> bytes:
        """The bytes of a GOAWAY frame; h2 itself would take no frame behind it."""
        payload = last_stream_id.to_bytes(4, "big") + bytes(4) + text
        return len(payload).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + payload

    def send_all(self, *behind: bytes) -> None:
        """What h2 has made and `behind` it, in one write."""
        self.transport.write(self.h2.data_to_send() + b"".join(behind))


class RawServer:
    """Counts what it got; `answer` may be replaced at any time."""

    def __init__(self, answer: Answer, streams_max: int) -> None:
        self.answer, self.streams_max = answer, streams_max
        self.connections: list[RawConnection] = []
        self.requests = 0
        self.address = ""


@contextlib.asynccontextmanager
async def raw_server(answer: Answer, *, streams_max: int = 0) -> AsyncIterator[RawServer]:
    """Listen on 127.0.0.1 inside the block."""
    server = RawServer(answer, streams_max)
    listener = await asyncio.get_running_loop().create_server(
        lambda: RawConnection(server), "127.0.0.1", 0
    )
    server.address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for connection in server.connections:
            connection.transport.abort()
        await listener.wait_closed()
