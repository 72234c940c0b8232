"""The client's end of an HTTP/2 connection: calls, GOAWAY, keepalive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import h2.events
from grpclib.const import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from milvus_coord.rpc.http2.header_cache import LiteralEncoder
from milvus_coord.rpc.http2.stream import ClientStream, UnaryCall
from milvus_coord.rpc.http2.unary import Answer, Headers, RpcError, header_map
from milvus_coord.runtime.noop import noop
from milvus_coord.runtime.signal import Signal
from milvus_coord.telemetry.log import log

_WINDOW_BYTES: Final = 4 << 20
_DEFAULT_WINDOW_BYTES: Final = 65_535
_PING: Final = b"liveness"
_STREAM_ID_LAST: Final = 2**31 - 3

# What a peer may send in a header must not cost the connection, and latin-1 decodes anything.
_H2_CONFIG: Final = H2Configuration(
    client_side=True,
    header_encoding="latin-1",
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """When to ask a silent peer for a sign of life, and how long to wait for it.

    Go 2.2.16's numbers (`grpc.client.keepAliveTime`, `keepAliveTimeout`); its servers allow a ping
    every 5 s, with or without calls.
    """

    time_s: float = 10.0
    timeout_s: float = 20.0


class _Session(H2Connection):
    """h2 takes no frame behind a GOAWAY; but calls that the server still answers send some."""

    def _receive_goaway_frame(self, frame: Any) -> Any:
        state = self.state_machine.state
        result = super()._receive_goaway_frame(frame)
        self.state_machine.state = state
        return result


class ClientConnection(asyncio.Protocol):
    """Calls run on it side by side. An answer that came complete survives whatever comes behind.

    `usable` ends with the first GOAWAY, or with the connection; calls that the server has accepted
    before may still finish.

    Args:
        address: of the peer, for texts.
        keep_alive: when to give a silent peer up; None: never.
        lost: called once the connection is gone.
    """

    def __init__(
        self,
        address: str,
        keep_alive: KeepAlive | None,
        lost: Callable[[ClientConnection], None] = noop,
    ) -> None:
        self._address, self._keep_alive, self._lost = address, keep_alive, lost
        self._loop = asyncio.get_running_loop()
        self._session = _Session(_H2_CONFIG)
        self._session.encoder = cast(Any, LiteralEncoder())
        self._streams: dict[int, ClientStream] = {}
        self._changed = Signal()
        self._writable, self._flushing = True, False
        self._heard_s = self._pinged_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self.usable = False

    async def exchange(self, headers: Headers, message: bytes) -> Answer:
        """Send one request and return its complete answer. Raises RpcError.

        Cancelling it tells the server to give up.
        """
        call = UnaryCall(self._address, self._loop)
        await self._room()
        stream_id = self._open(headers, call)
        try:
            await self._send(stream_id, call, message)
            await call.done
        finally:
            del self._streams[stream_id]
            self._leave(stream_id)
        return call.answer

    def start(self, headers: Headers, message: bytes, stream: ClientStream) -> None:
        """Send one small request on a new connection; `stream` takes what comes until the end."""
        if not self.usable:
            stream.fail(self._unavailable("the connection has ended", unseen=True))
            return
        stream_id = self._open(headers, stream)
        self._session.send_data(stream_id, message, end_stream=True)
        self._flush()

    def abort(self, reason: str) -> None:
        """Drop the connection without sending what is still to be sent; calls in flight fail."""
        self._fail(reason)
        self._transport.abort()

    def close(self, reason: str = "the channel was closed") -> None:
        """Drop the connection; calls in flight fail."""
        self._fail(reason)
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        session = self._session
        session.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
            },
        )
        session.initiate_connection()
        session.increment_flow_control_window(_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
        self._flush()
        self.usable = True
        if self._keep_alive is not None:
            self._schedule(self._keep_alive, self._keep_alive.time_s)

    def data_received(self, data: bytes) -> None:
        answered = self._pinged_s > self._heard_s
        self._heard_s = self._loop.time()
        if answered and self._timer is not None and self._keep_alive is not None:
            self._timer.cancel()
            self._schedule(self._keep_alive, self._keep_alive.time_s)
        try:
            for event in self._session.receive_data(data):
                self._on(event)
            self._flush()
        except Exception as error:
            log.debug("closing a connection to a peer that breaks HTTP/2", peer=self._address)
            self._write()  # h2 has put a GOAWAY that says why
            self._fail(f"protocol error: {error}")
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fail(f"connection lost: {exc}" if exc else "connection lost")
        self._lost(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._changed.notify()

    async def _room(self) -> None:
        """Wait until a stream may be opened."""
        session = self._session
        while self.usable:
            streams_max = session.remote_settings.max_concurrent_streams
            if self._writable and session.open_outbound_streams < streams_max:
                return
            await self._changed.wait()
        raise self._unavailable("the connection has ended", unseen=True)

    def _open(self, headers: Headers, stream: ClientStream) -> int:
        stream_id = self._session.get_next_available_stream_id()
        self._session.send_headers(stream_id, headers)
        self._streams[stream_id] = stream
        if stream_id >= _STREAM_ID_LAST:
            self.usable = False
        return stream_id

    async def _send(self, stream_id: int, stream: ClientStream, message: bytes) -> None:
        """Send `message` as far as the peer takes it; stop when the call is over."""
        session, sent, size = self._session, 0, len(message)
        while not stream.ended:
            room = self._window(stream_id) if self._writable else 0
            if room <= 0:
                self._flush()
                await self._changed.wait()
                continue
            piece = message[sent : sent + room] if sent or room < size else message
            sent += len(piece)
            session.send_data(stream_id, piece, end_stream=sent == size)
            self._flush()
            if sent == size:
                return
            await asyncio.sleep(0)  # a large message must not hold the loop

    def _window(self, stream_id: int) -> int:
        session = self._session
        return min(session.local_flow_control_window(stream_id), session.max_outbound_frame_size)

    def _leave(self, stream_id: int) -> None:
        """The caller is gone: let the next one in, and reset a stream that is not over."""
        stream = self._session.streams.get(stream_id)
        if stream is not None and not stream.closed and not self._transport.is_closing():
            try:
                self._session.reset_stream(stream_id, ErrorCodes.CANCEL)
                self._flush()
            except H2Error as error:
                log.debug("could not reset a call", peer=self._address, error=error)
        self._changed.notify()
        self._close_when_idle()

    def _on(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived():
                self._on_data(event)
            case h2.events.ResponseReceived(stream_id=stream_id, headers=headers):
                if (stream := self._streams.get(stream_id)) is not None:
                    stream.answer.headers = header_map(cast(Any, headers))
            case h2.events.TrailersReceived(stream_id=stream_id, headers=headers):
                if (stream := self._streams.get(stream_id)) is not None:
                    stream.answer.trailers = header_map(cast(Any, headers))
            case h2.events.StreamEnded(stream_id=stream_id):
                if (stream := self._streams.get(stream_id)) is not None:
                    stream.finish()
            case h2.events.StreamReset():
                self._on_reset(event)
            case h2.events.ConnectionTerminated():
                self._on_goaway(event)
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._changed.notify()

    def _on_data(self, event: h2.events.DataReceived) -> None:
        stream_id, size = event.stream_id, event.flow_controlled_length
        if size:
            self._session.acknowledge_received_data(size, stream_id)
        if (stream := self._streams.get(stream_id)) is not None:
            stream.take(event.data)

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        if (stream := self._streams.get(event.stream_id)) is None:
            return
        by = "the peer" if event.remote_reset else "a protocol error"
        unseen = event.error_code == ErrorCodes.REFUSED_STREAM
        text = f"the call was reset by {by}, code {event.error_code}"
        stream.fail(self._unavailable(text, unseen=unseen))
        self._changed.notify()

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        """Streams up to the last id that the peer names are still answered, later ones never."""
        self.usable = False
        reason = (event.additional_data or b"").decode("utf-8", "replace")
        text = f"GOAWAY {event.error_code} {reason}".rstrip()
        for stream_id, stream in self._streams.items():
            unseen = stream_id > (event.last_stream_id or 0)
            if unseen or not stream.outlives_goaway:
                stream.fail(self._unavailable(text, unseen=unseen))
        self._changed.notify()
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if not self.usable and not self._streams:
            self._write()
            self._transport.close()

    def _fail(self, text: str) -> None:
        self.usable = False
        for stream in self._streams.values():
            stream.fail(self._unavailable(text))
        self._changed.notify()

    def _unavailable(self, text: str, *, unseen: bool = False) -> RpcError:
        return RpcError(self._address, Status.UNAVAILABLE, text, unseen=unseen)

    def _flush(self) -> None:
        """Write soon: what other calls want to say in this turn of the loop goes along."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._flushing = False
        if self._transport.is_closing() or not (data := self._session.data_to_send()):
            return
        try:
            self._transport.write(data)
        except RuntimeError as error:  # who connected was cancelled: uvloop has closed it unsaid
            self.connection_lost(error)

    def _keep_alive_turn(self, limits: KeepAlive) -> None:
        now_s = self._loop.time()
        idle_s = now_s - self._heard_s
        if self._pinged_s > self._heard_s:  # and a whole timeout ago
            log.debug("a peer is silent", peer=self._address, silent_s=round(idle_s, 1))
            self.abort(f"the peer was silent for {idle_s:.1f} s")
        elif idle_s >= limits.time_s:
            self._session.ping(_PING)
            self._flush()
            self._pinged_s = now_s
            self._schedule(limits, limits.timeout_s)
        else:
            self._schedule(limits, limits.time_s - idle_s)

    def _schedule(self, limits: KeepAlive, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._keep_alive_turn, limits)
