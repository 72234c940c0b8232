"""What a failed gRPC call means: final, to be tried elsewhere, or to be logged in for again."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from grpc import StatusCode
from grpc.aio import AioRpcError, BaseError

from milvus_coord.etcd.errors import (
    AnswerTooLarge,
    AuthFailed,
    Compacted,
    EtcdError,
    InvalidRequest,
    LeaseNotFound,
    NoSpace,
    PermissionDenied,
    RequestTooLarge,
    TooManyOperations,
)


class Course(enum.Enum):
    """What may be done after a failure."""

    FINAL = "every endpoint would say the same"
    NOT_APPLIED = "it certainly changed nothing: any call may be sent elsewhere"
    UNKNOWN = "it may have been applied: only repeatable calls may be sent again"
    LOG_IN = "it was refused for its token before anything else"


class NotReady(Exception):
    """An endpoint could not be connected to, so that nothing was sent; the text says why."""


class StreamEnded(Exception):
    """A stream is of no more use: the server ended it, or gave no sign of life."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A course, the cause in words, and for FINAL the error to raise."""

    course: Course
    cause: str
    error: Callable[[str], EtcdError] = EtcdError


TROUBLE: Final = (
    AioRpcError,
    BaseError,
    asyncio.InvalidStateError,
    TimeoutError,
    NotReady,
    StreamEnded,
)
"""Everything that grpc.aio raises when a call or a stream fails, and our own two."""

# Connecting failed, so gRPC had no connection to write the request to.
_NEVER_CONNECTED: Final = "failed to connect to"

_FINAL: Final[dict[str, Callable[[str], EtcdError]]] = {
    "etcdserver: requested lease not found": LeaseNotFound,
    "etcdserver: mvcc: required revision has been compacted": lambda m: Compacted(m, revision=0),
    "etcdserver: mvcc: database space exceeded": NoSpace,
    "etcdserver: no space": NoSpace,
    "etcdserver: request is too large": RequestTooLarge,
    "etcdserver: too many operations in txn request": TooManyOperations,
    "etcdserver: permission denied": PermissionDenied,
    "etcdserver: authentication failed, invalid user ID or password": AuthFailed,
    "etcdserver: user name not found": AuthFailed,
}
# "user name is empty" is what an etcd says to a call without a token.
_TOKEN: Final = {
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
    "etcdserver: user name is empty",
}
# etcd says these before it proposes anything; other words of UNAVAILABLE may follow a proposal.
_NOT_APPLIED: Final = {
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "etcdserver: not capable",
    "etcdserver: rpc not supported for learner",
}
_BY_CODE: Final[dict[StatusCode, Callable[[str], EtcdError]]] = {
    StatusCode.INVALID_ARGUMENT: InvalidRequest,
    StatusCode.FAILED_PRECONDITION: InvalidRequest,
    StatusCode.OUT_OF_RANGE: InvalidRequest,
    StatusCode.NOT_FOUND: InvalidRequest,
    StatusCode.ALREADY_EXISTS: InvalidRequest,
    StatusCode.PERMISSION_DENIED: PermissionDenied,
    StatusCode.UNIMPLEMENTED: EtcdError,
    StatusCode.DATA_LOSS: EtcdError,
}


def judge(failure: BaseException) -> Verdict:
    """Judge whatever a call or a stream of grpc.aio has raised.

    A stream that has ended meanwhile raises `asyncio.InvalidStateError` or a usage error on write.
    """
    if isinstance(failure, NotReady):
        return Verdict(Course.NOT_APPLIED, str(failure))
    if isinstance(failure, AioRpcError):
        return judge_words(failure.details() or "", failure.code())
    return Verdict(Course.UNKNOWN, str(failure) or type(failure).__name__)


def judge_words(words: str, code: StatusCode) -> Verdict:
    """Judge by the words of etcd first, which are more exact, then by the code of gRPC.

    A refused watch has words only, and sometimes a printed error around them.
    """
    words = words.rpartition(" desc = ")[2]
    cause = words or code.name
    if words in _FINAL:
        return Verdict(Course.FINAL, cause, _FINAL[words])
    if words in _TOKEN:
        return Verdict(Course.LOG_IN, cause, AuthFailed)
    if words in _NOT_APPLIED or words.startswith(_NEVER_CONNECTED):
        return Verdict(Course.NOT_APPLIED, cause)
    if code is StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in words:
        received = "CLIENT:" in words
        return Verdict(Course.FINAL, cause, AnswerTooLarge if received else RequestTooLarge)
    if code is StatusCode.UNAUTHENTICATED:
        return Verdict(Course.LOG_IN, cause, AuthFailed)
    if code in _BY_CODE:
        return Verdict(Course.FINAL, cause, _BY_CODE[code])
    return Verdict(Course.UNKNOWN, cause)
