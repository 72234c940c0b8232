"""One client's HTTP/2 connection: grpclib's, with limits, keepalive, tolerance and a goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import h2.events
from grpclib import protocol
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from milvus_coord.rpc.server.limits import Limits
from milvus_coord.telemetry.log import log

_PREFIX_BYTES: Final = 5
_PIECE_BYTES: Final = 1 << 20
_DEFAULT_WINDOW_BYTES: Final = 65_535
_PING: Final = b"liveness"

# Header values that are not ASCII must not cost the connection, and latin-1 decodes anything.
_H2_CONFIG: Final = H2Configuration(
    client_side=False,
    header_encoding="latin-1",
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)
_GRPCLIB_CONFIG: Final = Configuration().__for_server__()


class _Stream(protocol.Stream):
    """A stream that refuses a message by its announced length, before the body is collected."""

    limits: Limits

    async def recv_data(self, size: int) -> bytes:
        if size > self.limits.receive_bytes_max:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED,
                f"request message of {size} bytes is over the limit of "
                f"{self.limits.receive_bytes_max}",
            )
        return await super().recv_data(size)

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        size = len(data) - _PREFIX_BYTES
        if size > self.limits.send_bytes_max:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED,
                f"reply message of {size} bytes is over the limit of {self.limits.send_bytes_max}",
            )
        # grpclib never yields while the socket accepts: a large reply would hold the loop.
        for start in range(0, len(data), _PIECE_BYTES):
            end = start + _PIECE_BYTES
            await super().send_data(data[start:end], end_stream and end >= len(data))
            if end < len(data):
                await asyncio.sleep(0)


class _Connection(protocol.Connection):
    """A connection whose streams know the limits, and everybody the peer."""

    limits: Limits
    peer: str
    leaving = False

    def ack(self, stream_id: int, size: int) -> None:
        if not self.leaving:
            super().ack(stream_id, size)

    def create_stream(
        self, *, stream_id: int | None = None, wrapper: Wrapper | None = None
    ) -> protocol.Stream:
        stream = _Stream(
            self, self._connection, self._transport, stream_id=stream_id, wrapper=wrapper
        )
        stream.limits = self.limits
        return stream


class _Events(protocol.EventsProcessor):
    """grpclib's table of HTTP/2 events; what is not in it is ignored, as the standard asks."""

    def process(self, event: h2.events.Event) -> None:
        if not self.connection.is_closing() and event.__class__ in self.processors:
            super().process(event)


class ServerConnection(protocol.H2Protocol):
    """The asyncio protocol of one accepted connection.

    `joined` is called once it is established, TLS included; `lost` is done once it is gone.
    A peer that breaks HTTP/2 loses its connection, and costs one DEBUG line.
    """

    connection: _Connection

    def __init__(
        self,
        calls: protocol.AbstractHandler,
        limits: Limits,
        joined: Callable[[ServerConnection], None],
    ) -> None:
        super().__init__(calls, _GRPCLIB_CONFIG, _H2_CONFIG)
        self._limits, self._joined = limits, joined
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._pinged_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def peer(self) -> str:
        """Address of the client, `ip:port`."""
        return self.connection.peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        limits = self._limits
        self._transport = cast(asyncio.Transport, transport)
        session = H2Connection(_H2_CONFIG)
        session.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams_max,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.window_bytes,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes_max,
            },
        )
        session.initiate_connection()
        if limits.window_bytes > _DEFAULT_WINDOW_BYTES:
            session.increment_flow_control_window(limits.window_bytes - _DEFAULT_WINDOW_BYTES)
        connection = _Connection(session, self._transport, config=_GRPCLIB_CONFIG)
        connection.limits = limits
        connection.peer = _address(transport.get_extra_info("peername"))
        connection.flush()
        self.connection = connection
        self.processor = _Events(self.handler, connection)
        self._schedule(limits.keepalive_time_s)
        self._joined(self)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        if self.connection.leaving or self.connection.is_closing():
            return
        try:
            events = self.connection.feed(data)
            self.connection.flush()
            for event in events:
                self.processor.process(event)
            if not self.connection.is_closing():
                self.connection.flush()
        except Exception as error:
            log.debug("closing a connection that breaks HTTP/2", peer=self.peer, error=error)
            if not self.connection.is_closing():
                self.connection.flush()  # h2 has put a GOAWAY that says why
            self.processor.close("protocol error")

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        if not self.lost.done():
            self.lost.set_result(None)

    def leave(self, reason: str, *, linger_s: float) -> None:
        """Say GOAWAY and end the connection, within `linger_s` even if the peer is silent.

        Nothing is answered on it any more. Without TLS only our half is closed at first: closing
        both with requests unread would reset the connection and lose replies on their way.
        """
        transport, connection = self._transport, self.connection
        if connection.leaving or transport.is_closing():
            return
        connection.leaving = True
        session: Any = connection._connection
        try:
            session.close_connection(additional_data=reason.encode())
            connection.flush()
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
        except (H2Error, OSError) as error:
            log.debug("could not say goodbye", peer=self.peer, error=error)
            transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(linger_s, transport.abort)

    def _keep_alive(self) -> None:
        now_s = self._loop.time()
        idle_s = now_s - self._heard_s
        if self._pinged_s > self._heard_s:
            log.debug("closing a connection that is dead", peer=self.peer, silent_s=round(idle_s))
            self._transport.abort()
        elif idle_s >= self._limits.keepalive_time_s:
            session: Any = self.connection._connection
            session.ping(_PING)
            self.connection.flush()
            self._pinged_s = now_s
            self._schedule(self._limits.keepalive_timeout_s)
        else:
            self._schedule(self._limits.keepalive_time_s - idle_s)

    def _schedule(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._keep_alive)


def _address(peername: tuple[Any, ...] | None) -> str:
    if not peername:
        return "unknown"
    host, port = str(peername[0]).removeprefix("::ffff:"), peername[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
