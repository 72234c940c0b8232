"""What requests and replies have in common: the base of the ones, the status of the others."""

from __future__ import annotations

from typing import Protocol

from milvus_coord.clients.errors import CallRefused
from milvus_coord.pb.milvus.proto.common import ErrorCode, MsgBase, MsgType


class StatusLike(Protocol):
    """A `milvus.proto.common.Status` of whichever class."""

    @property
    def error_code(self) -> int: ...

    @property
    def reason(self) -> str: ...


def base(
    kind: int, source_id: int, *, msg_id: int = 0, timestamp: int = 0, target_id: int = 0
) -> MsgBase:
    """The base of a request; `kind` is a MsgType, `source_id` our own server id."""
    return MsgBase(
        msg_type=MsgType.try_value(kind),
        msg_id=msg_id,
        timestamp=timestamp,
        source_id=source_id,
        target_id=target_id,
    )


def require(status: StatusLike, failed: str = "") -> None:
    """Raise CallRefused unless `status` says Success.

    The text is the reason; with `failed` it is `<failed>, code: <name>, reason: <reason>`.
    """
    if status.error_code == ErrorCode.Success:
        return
    if not failed:
        raise CallRefused(status.reason, status.error_code)
    word = code_name(status.error_code)
    raise CallRefused(f"{failed}, code: {word}, reason: {status.reason}", status.error_code)


def code_name(code: int) -> str:
    """The word for an ErrorCode, as Go prints it; the number when it has none."""
    try:
        return str(ErrorCode(int(code)).name)
    except ValueError:
        return str(int(code))
