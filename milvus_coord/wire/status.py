"""The status of a reply: the only place where one is built."""

from __future__ import annotations

from milvus_coord.pb.milvus.proto.common import ErrorCode, Status


def ok() -> Status:
    """Success, in a form that is sent: two bytes, where a bare `Status()` would be left out.

    A Go proxy reads the status of every reply without a nil check and dies when there is none.
    """
    return _status(ErrorCode.Success, "")


def fail(code: int, reason: str) -> Status:
    """Failure `code`, an ErrorCode, with the text that the user will read.

    Raises ValueError for Success.
    """
    if code == ErrorCode.Success:
        raise ValueError(f"Success is no failure: {reason}")
    return _status(code, reason)


def not_serving(role: str, node_id: int, state_name: str) -> Status:
    """NotReadyServe (56): Go clients repeat such a call on the same connection.

    `state_name` is the name of a StateCode. The text is Go 2.2.16's, spelling included, where
    querycoord's is the shorter one.
    """
    state = state_name if role == "querycoord" else f"sate code: {state_name}"
    return fail(
        ErrorCode.NotReadyServe,
        f"role {role}[nodeID: {node_id}] is not serving, reason: {state}",
    )


def _status(code: int, reason: str) -> Status:
    return Status(error_code=ErrorCode.try_value(code), reason=reason)
