"""A gRPC client for unary calls on one HTTP/2 connection, without retry, pool or backoff.

Measurements need a client that is quick, that sees a refused connection at once and that may wait
for late answers; grpcio pauses 100 ms before it dials an address again.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Any, Final, cast

from hpack import Decoder

from testing import messages

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_INITIAL_WINDOW_SIZE: Final = 4
_WINDOW_BYTES: Final = 2**31 - 1
_FRAME_HEAD_BYTES: Final = 9
_GRPC_HEAD_BYTES: Final = 5


class RpcFailed(Exception):
    """The call ended with a gRPC status other than OK, or its connection was lost (status -1)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"status {status}: {detail}")
        self.status = status


@dataclass(slots=True)
class _Call:
    reply: asyncio.Future[bytes]
    body: bytes = b""


class GrpcConnection(asyncio.Protocol):
    """One connection; any number of calls at a time. `closed` is done when it is lost."""

    def __init__(self, authority: str) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.going_away = False
        self._authority = authority.encode()
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder()
        self._unread = b""
        self._calls: dict[int, _Call] = {}
        self._next_stream = 1
        self._heads: dict[str, bytes] = {}

    @classmethod
    async def open(cls, address: str) -> GrpcConnection:
        """Dial `host:port`. Raises OSError when refused."""
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(address), host, int(port))
        return connection

    @property
    def usable(self) -> bool:
        """Whether new calls may be sent."""
        return not (self.closed.done() or self.going_away)

    def send(self, method: str, body: bytes) -> asyncio.Future[bytes]:
        """The reply's bytes of e.g. `rootcoord.RootCoord/AllocID`, some time; or RpcFailed."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._transport is None or not self.usable:
            reply.set_exception(RpcFailed(-1, "connection is gone"))
            return reply
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        head = self._heads.get(method) or self._request_head(method)
        framed = struct.pack(">BI", 0, len(body)) + body
        self._transport.write(
            _frame(_HEADERS, _END_HEADERS, stream, head)
            + _frame(_DATA, _END_STREAM, stream, framed)
        )
        self._calls[stream] = _Call(reply)
        reply.add_done_callback(lambda _: self._ended(stream))
        return reply

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _WINDOW_BYTES)
        more = struct.pack(">I", _WINDOW_BYTES - 65535)
        self._transport.write(
            _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, more)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        for call in list(self._calls.values()):
            if not call.reply.done():
                call.reply.set_exception(RpcFailed(-1, f"connection lost: {exc}"))

    def data_received(self, data: bytes) -> None:
        data, at = self._unread + data, 0
        while len(data) - at >= _FRAME_HEAD_BYTES:
            length = int.from_bytes(data[at : at + 3], "big")
            end = at + _FRAME_HEAD_BYTES + length
            if end > len(data):
                break
            kind, flags, stream = struct.unpack_from(">BBI", data, at + 3)
            self._on_frame(kind, flags, stream, data[at + _FRAME_HEAD_BYTES : end])
            at = end
        self._unread = data[at:]

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind == _SETTINGS and not flags & _ACK:
            self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self.going_away = True
            self._close_when_idle()
        elif kind == _RST_STREAM:
            self._fail(stream, -1, f"stream reset, code {int.from_bytes(payload, 'big')}")
        elif kind == _DATA and (call := self._calls.get(stream)):
            call.body += _unpadded(flags, payload)
        elif kind == _HEADERS:
            self._on_headers(flags, stream, payload)

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        assert flags & _END_HEADERS, "header blocks in several frames are not expected here"
        payload = _unpadded(flags, payload)
        block = payload[5:] if flags & _PRIORITY else payload
        headers: dict[Any, Any] = dict(self._decoder.decode(block))
        if not flags & _END_STREAM or (call := self._calls.get(stream)) is None:
            return
        status = int(headers.get("grpc-status", -1))
        if status != 0:
            self._fail(stream, status, str(headers.get("grpc-message", headers)))
        elif not call.reply.done():
            call.reply.set_result(call.body[_GRPC_HEAD_BYTES:])

    def _fail(self, stream: int, status: int, detail: str) -> None:
        call = self._calls.get(stream)
        if call and not call.reply.done():
            call.reply.set_exception(RpcFailed(status, detail))

    def _ended(self, stream: int) -> None:
        self._calls.pop(stream, None)
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        """A server that stops gracefully waits for this."""
        if self.going_away and not self._calls:
            self.close()

    def _request_head(self, method: str) -> bytes:
        fields = (
            b"\x83\x86"  # :method POST, :scheme http
            + b"\x04" + _text(f"/milvus.proto.{method}".encode())
            + b"\x01" + _text(self._authority)
            + b"\x0f\x10" + _text(b"application/grpc")
            + b"\x00" + _text(b"te") + _text(b"trailers")
        )  # fmt: skip
        return self._heads.setdefault(method, fields)


async def unary(address: str, method: str, *, timeout_s: float = 5.0, **fields: object) -> Any:
    """One call on a connection of its own; the reply message.

    Raises OSError (refused), RpcFailed or TimeoutError.
    """
    request, reply = messages.method_types(method)
    async with asyncio.timeout(timeout_s):
        connection = await GrpcConnection.open(address)
        try:
            body = await connection.send(method, request(**fields).SerializeToString())
        finally:
            connection.close()
    return reply.FromString(body)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(value: bytes) -> bytes:
    assert len(value) < 127, "longer texts need more than one length byte"
    return bytes([len(value)]) + value


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
