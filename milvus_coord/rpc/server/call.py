"""One incoming RPC, from its headers to its trailers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import GRPC_CONTENT_TYPE, CodecBase
from grpclib.events import _DispatchServerEvents
from grpclib.exceptions import GRPCError
from grpclib.metadata import encode_grpc_message
from grpclib.protocol import Stream as Http2Stream
from grpclib.server import Stream
from h2.exceptions import H2Error

from milvus_coord.telemetry.log import log

_NO_EVENTS: Final = _DispatchServerEvents()

Headers = Sequence[tuple[str, str]]


class Call(Stream[Any, Any]):
    """grpclib's server stream with readable errors, and trailers that can be sent at any moment.

    `method` is the path, `rpc` its last part; `peer_name` is `ip:port`. `task` serves it.
    """

    task: asyncio.Task[None]

    def __init__(
        self,
        stream: Http2Stream,
        headers: Headers,
        by_name: Mapping[str, str],
        handler: Handler,
        codec: CodecBase,
        release: Callable[[], Any],
    ) -> None:
        self.headers = headers
        self._by_name = by_name
        self.method = by_name.get(":path", "")
        self.rpc = self.method.rpartition("/")[2]
        self.handler = handler
        self.release = release
        self.peer_name: str = cast(Any, stream.connection).peer
        self.streaming = handler.cardinality.server_streaming
        super().__init__(
            stream,
            self.method,
            handler.cardinality,
            handler.request_type,
            handler.reply_type,
            codec=codec,
            status_details_codec=None,
            dispatch=_NO_EVENTS,
        )

    @property
    def finished(self) -> bool:
        """Whether the trailers are sent."""
        return self._send_trailing_metadata_done

    @property
    def replied(self) -> bool:
        """Whether enough was sent for status OK: one message, or any number on a stream."""
        return self._send_message_done or self.streaming

    async def recv_message(self) -> Any:
        """The next request; None at the end of a stream of requests.

        Raises GRPCError INVALID_ARGUMENT for bytes that are no such message, UNIMPLEMENTED for a
        compressed one (Milvus 2.2 never compresses).
        """
        try:
            message = await super().recv_message()
        except GRPCError:
            raise
        except NotImplementedError:
            raise GRPCError(
                Status.UNIMPLEMENTED, f"{self.rpc}: compressed requests are not supported"
            ) from None
        except Exception as error:
            raise GRPCError(
                Status.INVALID_ARGUMENT,
                f"{self.rpc}: cannot read the request: {str(error) or type(error).__name__}",
            ) from error
        if message is None and self._cardinality in _ONE_REQUEST:
            raise GRPCError(Status.INVALID_ARGUMENT, f"{self.rpc}: no request message was sent")
        return message

    def finish(self, status: Status, text: str | None = None, *, http_status: int = 200) -> None:
        """Send the trailers now, without waiting for anything; the first call wins.

        Does nothing when the client has gone. What the handler sends afterwards goes nowhere.
        """
        if self.finished or not self._stream.closable:
            return
        self._send_trailing_metadata_done = True
        trailers = []
        if not self._send_initial_metadata_done:
            trailers += [(":status", str(http_status)), ("content-type", self._content_type)]
        trailers.append(("grpc-status", str(status.value)))
        if text:
            trailers.append(("grpc-message", encode_grpc_message(text)))
        session: Any = self._stream._h2_connection
        try:
            session.send_headers(self._stream.id, trailers, end_stream=True)
            self._stream.connection.flush()
            if self._stream.closable:  # the client is still sending, for nothing
                self._stream.reset_nowait()
        except H2Error as error:
            log.debug("could not end a call", method=self.method, error=error)

    def misfit(self) -> tuple[int, str] | None:
        """HTTP status and reason why this is no gRPC request for our codec; None when it is."""
        content_type = self._by_name.get("content-type", "")
        base, _, subtype = content_type.partition("+")
        if self._by_name.get(":method") != "POST":
            return 405, "a gRPC request is a POST"
        if base != GRPC_CONTENT_TYPE or (subtype or "proto") != self._codec.__content_subtype__:
            return 415, f"content-type {content_type!r} is not served"
        return None

    def __repr__(self) -> str:
        return f"<Call {self.method} from {self.peer_name}>"


_ONE_REQUEST: Final = frozenset({Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM})
