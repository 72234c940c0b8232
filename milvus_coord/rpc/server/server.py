"""The gRPC server of a coordinator: serves one leadership, then quiesces and aborts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final

from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.protocol import AbstractHandler
from grpclib.protocol import Stream as Http2Stream

from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.call import Call
from milvus_coord.rpc.server.connection import ServerConnection
from milvus_coord.rpc.server.dispatcher import Admission, Dispatcher, Service
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.telemetry.log import log

_LINGER_S: Final = 0.25
_CANCEL_PATIENCE_S: Final = 1.0
_HANDSHAKE_TIMEOUT_S: Final = 10.0


class ServerState(Enum):
    """`NEW -> SERVING -> DRAINING -> CLOSED`; `DRAINING` may be skipped."""

    NEW = "new"
    SERVING = "serving"
    DRAINING = "draining"
    CLOSED = "closed"


class RpcServer:
    """Serves `services` on one port from `listen` until `abort`; then it is used up.

    It owns a task for each call in flight. grpclib's own server is not used: it keeps serving on
    old connections after its close, sends no GOAWAY and has none of our limits.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        codec: CodecBase,
        limits: Limits,
        guards: Guards,
        tls: ServerTls | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._limits, self._tls = limits, tls
        self._dispatcher = Dispatcher(services, codec=codec, guards=guards, admission=admission)
        self._state = ServerState.NEW
        self._listener: asyncio.Server | None = None
        self._connections: set[ServerConnection] = set()
        self._calls: set[Call] = set()

    @property
    def state(self) -> ServerState:
        """How far it is."""
        return self._state

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def in_flight(self) -> int:
        """How many calls are being served."""
        return len(self._calls)

    async def listen(self, reserved: ReservedPort, *, accept: bool = True) -> None:
        """Take connections on `reserved`, which passes into our hands.

        Without `accept` the kernel takes them, and they wait until `accept` is called.
        Raises PortTaken when somebody else listens there by now; `reserved` and this server are
        then as before.
        """
        if self._state is not ServerState.NEW:
            raise RuntimeError(f"a server listens once, this one is {self._state.value}")
        reserved.listen(self._limits.backlog)
        self._state = ServerState.SERVING
        sock = reserved.take()
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._connect,
                sock=sock,
                backlog=self._limits.backlog,
                ssl=None if self._tls is None else self._tls.context,
                ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_TIMEOUT_S,
                start_serving=False,
            )
        except BaseException:
            sock.close()
            raise
        if accept or self._dispatcher.refusal is not None:
            await self.accept()

    async def accept(self) -> None:
        """Answer those who have connected, and all who will; nothing when we have stopped."""
        if self._listener is None:
            return
        if self._dispatcher.refusal is None:
            await self._listener.start_serving()
        else:  # stopped meanwhile
            self._listener.close()

    async def adopt(self, connected: socket.socket) -> None:
        """Serve one connection that was made elsewhere; it passes into our hands."""
        self._state = ServerState.SERVING
        await asyncio.get_running_loop().connect_accepted_socket(self._connect, connected)

    def serve_with(self, services: Sequence[Service]) -> None:
        """From now on calls go to `services`; those that are running stay where they are."""
        self._dispatcher.serve_with(services)

    async def quiesce(self, grace_s: float, *, reason: str = "draining") -> None:
        """Refuse, and wait for the unary calls in flight, `grace_s` at most; connections stay.

        New connections are refused and new calls on old ones answered UNAVAILABLE from the first
        moment; streams of replies end with the same. Calls that are not done in time are answered
        UNAVAILABLE and their handlers cancelled.
        """
        self._refuse(reason)
        if self._state is not ServerState.CLOSED:
            self._state = ServerState.DRAINING
        for call in self._calls:
            if call.streaming:
                _cut(call, reason)
        await self._calls_done(grace_s)
        for call in self._calls:
            _cut(call, reason)

    async def abort(self, *, reason: str = "no longer the active coordinator") -> None:
        """Stop at once: by the first await every call in flight has been answered UNAVAILABLE.

        Their handlers are cancelled; one that ignores that runs on with nobody to answer to.
        Takes a quarter of a second and one more at most.
        """
        self._refuse(reason)
        self._hang_up(reason)
        await self._gone()

    def _connect(self) -> ServerConnection:
        return ServerConnection(_Calls(self._dispatcher, self._calls), self._limits, self._join)

    def _join(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        connection.lost.add_done_callback(lambda _: self._connections.discard(connection))
        if self._state is ServerState.CLOSED:  # was being accepted when we hung up
            connection.leave(self._dispatcher.refusal or "closed", linger_s=_LINGER_S)

    def _refuse(self, reason: str) -> None:
        self._dispatcher.refusal = self._dispatcher.refusal or reason
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _calls_done(self, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + grace_s
        while self._calls and (left_s := until_s - loop.time()) > 0:
            await asyncio.wait([call.task for call in self._calls], timeout=left_s)

    def _hang_up(self, reason: str) -> None:
        self._state = ServerState.CLOSED
        for call in self._calls:
            _cut(call, reason)
        for connection in self._connections:
            connection.leave(reason, linger_s=_LINGER_S)

    async def _gone(self) -> None:
        if lost := [connection.lost for connection in self._connections]:
            await asyncio.wait(lost, timeout=_LINGER_S * 2)
        if tasks := [call.task for call in self._calls]:
            await asyncio.wait(tasks, timeout=_CANCEL_PATIENCE_S)
        if self._calls:
            methods = ", ".join(sorted({call.rpc for call in self._calls}))
            log.warn("handlers ignore their cancellation", calls=len(self._calls), methods=methods)

    def __repr__(self) -> str:
        return (
            f"<RpcServer {self.state.value}, {self.connections} connections, "
            f"{self.in_flight} calls in flight>"
        )


class _Calls(AbstractHandler):
    """The calls of one connection; `live` are those of all."""

    def __init__(self, dispatcher: Dispatcher, live: set[Call]) -> None:
        self._dispatcher, self._live = dispatcher, live
        self._mine: dict[Http2Stream, Call] = {}

    def accept(self, stream: Http2Stream, headers: Any, release_stream: Callable[[], None]) -> None:
        call = self._dispatcher.open(stream, headers, release_stream)
        call.task = asyncio.get_running_loop().create_task(
            self._dispatcher.serve(call), name=f"rpc {call.rpc}"
        )
        self._live.add(call)
        self._mine[stream] = call
        call.task.add_done_callback(lambda _: self._forget(stream, call))

    def cancel(self, stream: Http2Stream) -> None:
        if (call := self._mine.get(stream)) is not None:
            call.task.cancel("the client has reset the call")

    def close(self) -> None:
        for call in self._mine.values():
            call.task.cancel("the connection is gone")

    def _forget(self, stream: Http2Stream, call: Call) -> None:
        self._mine.pop(stream, None)
        self._live.discard(call)
        call.release()


def _cut(call: Call, reason: str) -> None:
    call.finish(Status.UNAVAILABLE, reason)
    call.task.cancel(reason)
