"""What the words of etcd and the codes of gRPC mean for a call."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from milvus_coord.etcd.client.verdict import Course, NotReady, StreamEnded, judge, judge_words
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


def rpc_error(code: StatusCode, details: str) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details)


@pytest.mark.parametrize(
    ("code", "words", "error"),
    [
        (StatusCode.NOT_FOUND, "etcdserver: requested lease not found", LeaseNotFound),
        (StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", NoSpace),
        (StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large", RequestTooLarge),
        (
            StatusCode.RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (3 vs. 2)",
            RequestTooLarge,
        ),
        (
            StatusCode.RESOURCE_EXHAUSTED,
            "Stream removed (CLIENT: Received message larger than max (3 vs. 2))",
            AnswerTooLarge,
        ),
        (
            StatusCode.INVALID_ARGUMENT,
            "etcdserver: too many operations in txn request",
            TooManyOperations,
        ),
        (
            StatusCode.INVALID_ARGUMENT,
            "etcdserver: duplicate key given in txn request",
            InvalidRequest,
        ),
        (StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", PermissionDenied),
        (
            StatusCode.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
            AuthFailed,
        ),
        (StatusCode.OUT_OF_RANGE, "etcdserver: too large lease TTL", InvalidRequest),
        (StatusCode.DATA_LOSS, "etcdserver: corrupt cluster", EtcdError),
    ],
)
def test_final_answers_have_a_class_each(
    code: StatusCode, words: str, error: type[EtcdError]
) -> None:
    verdict = judge(rpc_error(code, words))
    assert verdict.course is Course.FINAL
    raised = verdict.error("text")
    assert (type(raised), str(raised)) == (error, "text")


def test_compaction_has_no_revision_in_its_words() -> None:
    words = "etcdserver: mvcc: required revision has been compacted"
    raised = judge(rpc_error(StatusCode.OUT_OF_RANGE, words)).error("text")
    assert isinstance(raised, Compacted)
    assert raised.revision == 0


@pytest.mark.parametrize(
    "words",
    [
        "etcdserver: no leader",
        "etcdserver: too many requests",
        "failed to connect to all addresses; last error: UNKNOWN: connection refused",
    ],
)
def test_what_certainly_changed_nothing(words: str) -> None:
    assert judge(rpc_error(StatusCode.UNAVAILABLE, words)).course is Course.NOT_APPLIED


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (StatusCode.UNAVAILABLE, "Socket closed"),
        (StatusCode.UNAVAILABLE, "etcdserver: request timed out"),
        (StatusCode.UNAVAILABLE, "etcdserver: leader changed"),
        (StatusCode.UNAVAILABLE, "etcdserver: server stopped"),
        (StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"),
        (StatusCode.CANCELLED, "Channel closed!"),
        (StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        (StatusCode.UNKNOWN, "Stream removed"),
    ],
)
def test_what_may_have_been_applied(code: StatusCode, words: str) -> None:
    assert judge(rpc_error(code, words)).course is Course.UNKNOWN


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token"),
        (StatusCode.INVALID_ARGUMENT, "etcdserver: user name is empty"),
        (StatusCode.INVALID_ARGUMENT, "etcdserver: revision of auth store is old"),
    ],
)
def test_tokens_that_no_longer_do(code: StatusCode, words: str) -> None:
    assert judge(rpc_error(code, words)).course is Course.LOG_IN


def test_failures_that_are_no_answer() -> None:
    assert judge(NotReady("refused")).course is Course.NOT_APPLIED
    assert judge(StreamEnded("silent")).cause == "silent"
    assert judge(asyncio.InvalidStateError("RPC already finished.")).course is Course.UNKNOWN
    assert judge(TimeoutError()).cause == "TimeoutError"


def test_a_refused_watch_prints_its_error() -> None:
    words = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    verdict = judge_words(words, StatusCode.UNKNOWN)
    assert (verdict.course, verdict.error) == (Course.FINAL, PermissionDenied)
