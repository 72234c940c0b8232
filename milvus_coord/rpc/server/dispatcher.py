"""What every incoming call passes through, and how its outcome becomes a gRPC status."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Final, Protocol

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.metadata import Deadline, decode_metadata
from grpclib.protocol import Stream as Http2Stream
from h2.exceptions import H2Error

from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.rpc.server.call import Call, Headers
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.runtime.race import limited
from milvus_coord.telemetry.log import log

_CLIENT_REQUEST_ID: Final = "client_request_id"
_TRACE: Final = "uber-trace-id"
_TIMEOUT: Final = "grpc-timeout"
_TIMEOUT_FORM: Final = re.compile(r"[0-9]{1,8}[HMSmun]")

Admission = Callable[[str], None]
"""Called with the path of each known method before its handler; may raise a refusal."""


class Service(Protocol):
    """What betterproto and grpclib generate for a service."""

    def __mapping__(self) -> dict[str, Handler]:
        """Path of each method to its handler."""


class Dispatcher:
    """The way of a call: refusal, known method, guards, admission, deadline, handler, status.

    `refusal` is why new calls are answered UNAVAILABLE, None while they are served.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        codec: CodecBase,
        guards: Guards,
        admission: Admission | None = None,
    ) -> None:
        self._methods: dict[str, Handler] = {}
        self.serve_with(services)
        self._codec, self._guards = codec, guards
        self._admission = admission
        self.refusal: str | None = None

    def serve_with(self, services: Sequence[Service]) -> None:
        """From now on calls go to `services`; those that are running stay where they are."""
        methods: dict[str, Handler] = {}
        for service in services:
            methods |= service.__mapping__()
        self._methods = methods

    def open(self, stream: Http2Stream, headers: Headers, release: Callable[[], None]) -> Call:
        """The call that `headers` begin; cannot fail, wrong ones are refused by `serve`."""
        by_name = dict(headers)
        handler = self._methods.get(by_name.get(":path", ""), _UNKNOWN)
        return Call(stream, headers, by_name, handler, self._codec, release)

    async def serve(self, call: Call) -> None:
        """Run the call to its trailers; for its own task.

        When the client resets the call or goes away, this task alone is cancelled, and with it
        the handler. Work that must outlive the caller belongs to another task, awaited through
        `asyncio.shield`.
        """
        call.finish(*await self._outcome(call))

    async def _outcome(self, call: Call) -> tuple[Status, str | None]:
        try:
            await self._run(call)
        except GRPCError as error:
            if error.status is Status.UNIMPLEMENTED and not error.message:
                return error.status, f"{call.rpc} is not implemented by this {_role(call)} yet"
            return error.status, error.message
        except NotServing as error:  # said once where it began, not at each call
            log.debug("call refused", method=call.method, peer=call.peer_name, error=error)
            return Status.UNAVAILABLE, str(error) or type(error).__name__
        except CoordError as error:
            # A refusal, not a reply: those carry a status of Milvus and never come here.
            log.warn("call failed", method=call.method, peer=call.peer_name, error=error)
            return Status.UNKNOWN, str(error) or type(error).__name__
        except asyncio.CancelledError:
            if call.task.cancelling():
                raise
            # What the handler awaited was cancelled by its owner, not this call: answer.
            return Status.UNAVAILABLE, f"{call.rpc}: the work was abandoned"
        except H2Error as error:  # the stream ended under the handler's hands
            log.debug("call lost its client", method=call.method, error=error)
            return Status.CANCELLED, None
        except Exception as error:
            log.error("call broke", method=call.method, peer=call.peer_name, error=error)
            return Status.UNKNOWN, f"{call.rpc}: {type(error).__name__}: {error}"
        if not call.replied and not call.finished:
            log.error("call ended without a reply", method=call.method)
            return Status.UNKNOWN, f"{call.rpc} ended without a reply"
        return Status.OK, None

    async def _run(self, call: Call) -> None:
        if self.refusal is not None:
            raise GRPCError(Status.UNAVAILABLE, self.refusal)
        if (misfit := call.misfit()) is not None:
            http_status, text = misfit
            call.finish(Status.INTERNAL, text, http_status=http_status)
            raise GRPCError(Status.INTERNAL, text)
        if call.handler is _UNKNOWN:
            raise GRPCError(Status.UNIMPLEMENTED, f"unknown method {call.method}")
        metadata = _read_headers(call)
        try:
            self._guards.check(metadata)
        except GRPCError as error:
            log.warn("call for somebody else", method=call.method, peer=call.peer_name, error=error)
            raise
        if self._admission is not None:
            self._admission(call.method)
        trace_id = trace_id_of(metadata)
        with log.context(traceID=trace_id) if trace_id else nullcontext():
            await _within_deadline(call)


def trace_id_of(metadata: Mapping[str, str | bytes]) -> str:
    """The id to log as traceID: `client_request_id`, else the first part of `uber-trace-id`.

    Jaeger's value has the form `trace:span:parent:flags`.
    """
    for key in (_CLIENT_REQUEST_ID, _TRACE):
        value = metadata.get(key)
        if isinstance(value, str) and value:
            return value.partition(":")[0] if key == _TRACE else value
    return ""


def _read_headers(call: Call) -> Mapping[str, str | bytes]:
    """Set metadata and deadline of the call; returns the former. Raises GRPCError."""
    try:
        metadata = call.metadata = decode_metadata(call.headers)
    except ValueError as error:
        raise GRPCError(Status.INTERNAL, f"malformed binary metadata: {error}") from None
    call.deadline = deadline_of(call.headers)
    return metadata


def deadline_of(headers: Headers) -> Deadline | None:
    """The earliest that `grpc-timeout` asks for; gRPC allows 8 digits. Raises GRPCError."""
    for name, value in headers:
        if name == _TIMEOUT and not _TIMEOUT_FORM.fullmatch(value):
            raise GRPCError(Status.INTERNAL, f"malformed {_TIMEOUT}: {value[:20]!r}")
    return Deadline.from_headers(headers)


async def _within_deadline(call: Call) -> None:
    left_s = call.deadline.time_remaining() if call.deadline else None
    text = f"{call.rpc} took longer than the caller's deadline"
    async with limited(left_s, lambda: GRPCError(Status.DEADLINE_EXCEEDED, text)):
        await call.handler.func(call)


def _role(call: Call) -> str:
    """`rootcoord` of `/milvus.proto.rootcoord.RootCoord/AllocID`."""
    return call.method.rpartition("/")[0].rpartition(".")[2].lower()


async def _unknown(_: object) -> None:
    raise AssertionError("answered by the dispatcher")


_UNKNOWN: Final = Handler(_unknown, Cardinality.STREAM_STREAM, object, object)
