"""The follower's end of one connection: HTTP/2 with a single stream of beats on it."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import Any, Final, cast

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from milvus_coord.rpc.heartbeat.message import Beat, BeatsEnded
from milvus_coord.rpc.http2.unary import (
    Answer,
    RpcError,
    framed,
    header_map,
    payload,
    request_headers,
)
from milvus_coord.runtime.signal import Signal
from milvus_coord.wire.descriptors import message_class

_FOLLOW: Final = "/coord.health.Health/Follow"
_PREFIX: Final = struct.Struct(">?I")
_BEAT_BYTES_MAX: Final = 4096
_KEPT_MAX: Final = 256
_STREAM: Final = 1

_H2_CONFIG: Final = H2Configuration(
    client_side=True,
    header_encoding="latin-1",
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)


class BeatLine(asyncio.Protocol):
    """Asks for beats as soon as it is connected; for one reader.

    grpclib's client is not used: it wakes its reader by cancelling the reader's task, and the
    cancellation stays counted there, which task groups around it take for one from outside.
    """

    def __init__(self, address: str, server_id: int, every_ms: int, *, tls: bool) -> None:
        self._address, self._tls = address, tls
        request: Any = message_class("coord.health.FollowRequest")()
        request.server_id, request.every_ms = server_id, every_ms
        self._request: bytes = framed(request.SerializeToString())
        self._session = H2Connection(_H2_CONFIG)
        self._answer = Answer()
        self._beats: deque[Beat] = deque(maxlen=_KEPT_MAX)
        self._end: BeatsEnded | None = None
        self._changed = Signal()
        self._transport: asyncio.Transport | None = None

    async def begun(self) -> None:
        """Wait for the first beat, which stays to be read. Raises BeatsEnded."""
        while not self._beats:
            if self._end is not None:
                raise self._end
            await self._changed.wait()

    async def next(self) -> Beat:
        """The next beat; the oldest ones are lost to a reader that is slow. Raises BeatsEnded."""
        await self.begun()
        return self._beats.popleft()

    def close(self) -> None:
        """Drop the connection now."""
        self._finish("closed by us")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        session = self._session
        session.local_settings = Settings(client=True, initial_values={SettingCodes.ENABLE_PUSH: 0})
        session.initiate_connection()
        session.send_headers(
            _STREAM,
            request_headers(
                _FOLLOW,
                authority=self._address,
                scheme="https" if self._tls else "http",
                metadata={},
            ),
        )
        session.send_data(_STREAM, self._request, end_stream=True)
        self._write()

    def data_received(self, data: bytes) -> None:
        if self._end is not None:
            return
        try:
            for event in self._session.receive_data(data):
                self._on(event)
            self._write()
        except Exception as error:  # h2, protobuf: the peer speaks something else
            self._finish(f"not understood: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(f"connection lost: {exc}" if exc else "connection closed")

    def _on(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived():
                self._session.acknowledge_received_data(event.flow_controlled_length, _STREAM)
                self._take(event.data)
            case h2.events.ResponseReceived(headers=headers):
                self._answer.headers = header_map(cast(Any, headers))
            case h2.events.TrailersReceived(headers=headers):
                self._answer.trailers = header_map(cast(Any, headers))
            case h2.events.StreamEnded():
                self._finish(_verdict(self._answer, self._address))
            case h2.events.StreamReset(error_code=code):
                self._finish(f"the stream was reset, code {code}")
            case h2.events.ConnectionTerminated(error_code=code, additional_data=data):
                reason = (data or b"").decode("utf-8", "replace")
                self._finish(f"GOAWAY {code} {reason}".rstrip())

    def _take(self, data: bytes) -> None:
        body = self._answer.body
        body += data
        while len(body) >= _PREFIX.size:
            compressed, size = _PREFIX.unpack_from(body)
            if compressed or size > _BEAT_BYTES_MAX:
                raise ValueError(f"no beat: {size} bytes, compressed: {compressed}")
            if len(body) < _PREFIX.size + size:
                return
            self._beats.append(_beat(bytes(body[_PREFIX.size : _PREFIX.size + size])))
            del body[: _PREFIX.size + size]
            self._changed.notify()

    def _finish(self, why: str) -> None:
        """The first reason stays; beats that came before it may still be read."""
        if self._end is None:
            self._end = BeatsEnded(f"{self._address}: {why}")
            self._changed.notify()
        if self._transport is not None:
            self._transport.abort()

    def _write(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(self._session.data_to_send())


def _beat(data: bytes) -> Beat:
    message: Any = message_class("coord.health.Beat").FromString(data)
    return Beat(
        server_id=message.server_id,
        epoch=message.epoch,
        worst_lag_s=message.worst_lag_ms / 1000,
        unproven_s=message.unproven_ms / 1000,
    )


def _verdict(answer: Answer, address: str) -> str:
    try:
        payload(answer, address)
    except RpcError as error:
        return f"{error.code.name}: {error.message}"
    return "the server has no more"
