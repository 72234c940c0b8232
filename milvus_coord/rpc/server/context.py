"""What is known about the call that the current task serves."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from grpclib.metadata import Deadline

_CLIENT_REQUEST_ID: Final = "client_request_id"
_TRACE: Final = "uber-trace-id"


@dataclass(frozen=True, slots=True)
class CallContext:
    """One RPC as its handler sees it; handlers themselves are passed the request only.

    `method` is the path `/package.Service/Method`, `peer` is `ip:port`, keys of `metadata` are
    lower-case. `trace_id` is the client's request id, else the trace's, else empty.
    """

    method: str
    peer: str
    metadata: Mapping[str, str | bytes]
    deadline: Deadline | None
    trace_id: str

    def time_left_s(self) -> float | None:
        """Seconds until the client stops waiting, not below 0; None when it set no deadline."""
        return None if self.deadline is None else self.deadline.time_remaining()


_current: Final[ContextVar[CallContext | None]] = ContextVar("rpc_call", default=None)


def current_call() -> CallContext | None:
    """The call that this task, or the task that started it, serves; None outside of a call."""
    return _current.get()


def enter_call(context: CallContext) -> None:
    """Make `context` current for the rest of this task; for the server alone."""
    _current.set(context)


def trace_id_of(metadata: Mapping[str, str | bytes]) -> str:
    """The id to log as traceID: `client_request_id`, else the first part of `uber-trace-id`.

    Jaeger's value has the form `trace:span:parent:flags`.
    """
    for key in (_CLIENT_REQUEST_ID, _TRACE):
        value = metadata.get(key)
        if isinstance(value, str) and value:
            return value.partition(":")[0] if key == _TRACE else value
    return ""
