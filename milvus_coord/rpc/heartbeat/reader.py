"""The follower's end of one stream of beats."""

from __future__ import annotations

import struct
from collections import deque
from typing import Any, ClassVar, Final

from milvus_coord.rpc.heartbeat.message import Beat, BeatsEnded
from milvus_coord.rpc.http2.client_connection import ClientConnection
from milvus_coord.rpc.http2.stream import ClientStream
from milvus_coord.rpc.http2.unary import RpcError, framed, payload, request_headers
from milvus_coord.runtime.signal import Signal
from milvus_coord.wire.descriptors import message_class

_FOLLOW: Final = "/coord.health.Health/Follow"
_PREFIX: Final = struct.Struct(">?I")
_BEAT_BYTES_MAX: Final = 4096
_KEPT_MAX: Final = 256


class BeatReader(ClientStream):
    """Asks for beats on a connection of its own; for one reader.

    grpclib's client is not used: it wakes its reader by cancelling the reader's task, and the
    cancellation stays counted there, which task groups around it take for one from outside.
    """

    outlives_goaway: ClassVar[bool] = False

    def __init__(
        self,
        connection: ClientConnection,
        address: str,
        server_id: int,
        every_ms: int,
        *,
        tls: bool,
    ) -> None:
        super().__init__()
        self._connection, self._address = connection, address
        self._beats: deque[Beat] = deque(maxlen=_KEPT_MAX)
        self._end: BeatsEnded | None = None
        self._changed = Signal()
        scheme = "https" if tls else "http"
        headers = request_headers(_FOLLOW, authority=address, scheme=scheme, metadata={})
        request: Any = message_class("coord.health.FollowRequest")()
        request.server_id, request.every_ms = server_id, every_ms
        connection.start(headers, framed(request.SerializeToString()), self)

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
        self._connection.abort("closed by us")

    def take(self, data: bytes) -> None:
        body = self.answer.body
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

    def finish(self) -> None:
        try:
            payload(self.answer, self._address)
        except RpcError as error:
            self._finish(str(error))
        else:
            self._finish(f"{self._address}: the server has no more")

    def fail(self, error: RpcError) -> None:
        self._finish(str(error))

    def _finish(self, why: str) -> None:
        """The first reason stays; beats that came before it may still be read."""
        if self._end is None:
            self.ended = True
            self._end = BeatsEnded(why)
            self._changed.notify()
            self._connection.abort(why)


def _beat(data: bytes) -> Beat:
    message: Any = message_class("coord.health.Beat").FromString(data)
    return Beat(
        server_id=message.server_id,
        epoch=message.epoch,
        worst_lag_s=message.worst_lag_ms / 1000,
        unproven_s=message.unproven_ms / 1000,
    )
