"""Whatever is asked, RootCoord answers as documented, keeps its metadata, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from milvus_coord.telemetry.log import pipeline
from milvus_coord.telemetry.logformat import encode_text
from milvus_coord.telemetry.logsinks import StdoutSink
from testing.forms import examples
from testing.messages import message_class
from tests.wire.arbitrary import Hints, altered, damaged, messages
from tests.wire.rootcoord_bench import (
    MSG_TYPES,
    RPCS,
    Outcome,
    RootCoordBench,
    grant,
    msg_type,
    request_of,
    request_type,
    schema,
)

OK: Final = 0
INVALID_ARGUMENT: Final = 3
BODY_BYTES_MAX: Final = 16_000
"""More than our small client can put into one frame."""

CODES: Final = {
    "CreateCredential": {29},
    "UpdateCredential": {30},
    "DeleteCredential": {31},
    "GetCredential": {32},
    "ListCredUsers": {33},
    "CreateRole": {35},
    "DropRole": {36},
    "OperateUserRole": {37},
    "SelectRole": {38},
    "SelectUser": {39},
    "OperatePrivilege": {41},
    "SelectGrant": {42},
    "ListPolicy": {44},
    "ListImportTasks": {1, 9},
    "ReportImport": {1, 27},
}
"""The error codes that a reply may carry; UnexpectedError alone where nothing is said."""

CHANGES: Final = (
    "Create",
    "Drop",
    "Alter",
    "Rename",
    "Update",
    "Delete",
    "Operate",
    "Import",
    "Report",
)
"""How the names of RPCs that may change etcd begin."""

TEXTS: Final = (
    *("", "default", "library", "nowhere"),
    *("books", "tomes", "papers", "maps", "ruins", "_default", "old"),
    *("root", "eve", "bob", "nobody", "admin", "public", "reader", "idle"),
    *("Collection", "Global", "User", "Load", "All", "*", "default.books"),
    *("new", "a/b", "..", "a_ts12", "\x00", "集合", "x" * 5000),
    *("by-dev-rootcoord-dml_0", '{"metric_type": "system_info"}', "{", "[[[["),
)
NUMBERS: Final = (2, 5, 16, 17, 4096, 4097, 100_000, 470_656_566_506_815_847)

CHANGING: Final[dict[str, dict[str, Any]]] = {
    "CreateCollection": {"collection_name": "new", "schema": schema("new")},
    "DropCollection": {"collection_name": "books"},
    "AlterCollection": {"collection_name": "tomes", "properties": [{"key": "", "value": "x"}]},
    "RenameCollection": {"oldName": "papers", "newName": "new", "newDBName": "library"},
    "CreatePartition": {"collection_name": "papers", "partition_name": "集合"},
    "DropPartition": {"collection_name": "tomes", "partition_name": "old"},
    "CreateAlias": {"collection_name": "papers", "alias": "a_ts12"},
    "AlterAlias": {"collection_name": "papers", "alias": "tomes"},
    "DropAlias": {"alias": "tomes"},
    "CreateDatabase": {"db_name": "new"},
    "CreateCredential": {"username": "new", "encrypted_password": "x"},
    "UpdateCredential": {"username": "eve", "encrypted_password": "x"},
    "DeleteCredential": {"username": "eve"},
    "CreateRole": {"entity": {"name": "new"}},
    "DropRole": {"role_name": "idle"},
    "OperateUserRole": {"username": "bob", "role_name": "idle"},
    "OperatePrivilege": {"entity": grant("idle")},
    "Import": {"collection_name": "books", "partition_name": "old", "files": ["a.json"]},
}
ACCEPTED: Final[dict[str, dict[str, Any]]] = {
    **CHANGING,
    "DropDatabase": {"db_name": "nowhere"},
    "HasCollection": {"collection_name": "tomes", "time_stamp": 2**64 - 1},
    "DescribeCollection": {"db_name": "library", "collection_name": "maps"},
    "DescribeCollectionInternal": {"collection_name": "books", "time_stamp": 2**64 - 2},
    "ShowCollections": {"db_name": "library"},
    "HasPartition": {"collection_name": "books", "partition_name": "old"},
    "ShowPartitions": {"collection_name": "books"},
    "ShowPartitionsInternal": {"collection_name": "tomes"},
    "AllocTimestamp": {"count": 3},
    "AllocID": {"count": 3},
    "GetCredential": {"username": "eve"},
    "SelectRole": {"role": {"name": "reader"}, "include_user_info": True},
    "SelectUser": {"user": {"name": "eve"}, "include_role_info": True},
    "SelectGrant": {"entity": grant("reader")},
    "GetMetrics": {"request": '{"metric_type": "system_info"}'},
}
"""One request of each kind that is answered with Success; any others need nothing said."""


class Errors(StdoutSink):
    """Keeps what an operator would have to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write(self, line: str) -> bool:
        if "[ERROR]" in line or "[FATAL]" in line:
            self.lines.append(line)
        return True


@pytest.fixture(scope="module")
def errors() -> Iterator[Errors]:
    sink = Errors()
    pipeline.switch(encode_text, [sink])
    yield sink
    pipeline.switch(encode_text, [StdoutSink()])


@pytest.fixture(scope="module")
def bench(errors: Errors) -> Iterator[RootCoordBench]:
    bench = RootCoordBench()
    yield bench
    bench.close()


def hints(rpc: str) -> Hints:
    """Mostly the message type that the RPC wants, and a schema that may fit."""
    others = st.sampled_from([*MSG_TYPES.values_by_number, 9999, -1])
    schemas = st.one_of(
        messages(message_class("schema.CollectionSchema"), Hints(TEXTS, (), {})).map(
            lambda drawn: drawn.SerializeToString()
        ),
        st.binary(max_size=30),
    )
    types = st.one_of(*[st.just(msg_type(rpc))] * 4, others)
    return Hints(TEXTS, NUMBERS, {"schema": schemas, "msg_type": types})


def accepted(rpc: str) -> Message:
    request: Message = request_of(rpc, **ACCEPTED.get(rpc, {}))
    return request


def requests(rpc: str) -> st.SearchStrategy[Message]:
    """Anything, or something that would be accepted, spoilt here and there."""
    some = hints(rpc)
    return st.one_of(messages(request_type(rpc), some), altered(accepted(rpc), some))


def ask(bench: RootCoordBench, errors: Errors, rpc: str, data: bytes) -> Outcome:
    """Ask; see that the answer is a documented one, and what it did to etcd and to us."""
    assume(len(data) < BODY_BYTES_MAX)
    errors.lines.clear()
    before = bench.stored()
    outcome = bench.ask(rpc, data)
    refused = was_refused(rpc, outcome)
    changed = bench.stored() != before
    assert errors.lines == []
    assert bench.ask("ListDatabases", b"").status.error_code == 0
    if changed:
        wrong = bench.damage()
        bench.renew()  # examples begin with the same, so that they can be told again
        assert wrong == []
        assert rpc.startswith(CHANGES), outcome
        assert not refused, outcome
    return outcome


def was_refused(rpc: str, outcome: Outcome) -> bool:
    if outcome.grpc != OK:
        assert outcome.grpc == INVALID_ARGUMENT, outcome.text
        return True
    if outcome.reply.DESCRIPTOR.full_name != "milvus.proto.common.Status":
        assert outcome.reply.HasField("status")
    status = outcome.status
    if status.error_code == 0:
        assert status.reason == ""
        return False
    assert status.error_code in CODES.get(rpc, {1}), outcome
    assert status.reason != ""
    return True


ANYTHING: Final = settings(
    max_examples=examples(20),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("rpc", RPCS)
@ANYTHING
@given(data=st.data())
def test_any_message(bench: RootCoordBench, errors: Errors, rpc: str, data: st.DataObject) -> None:
    request = data.draw(requests(rpc))
    outcome = ask(bench, errors, rpc, request.SerializeToString())
    assert outcome.grpc == OK, outcome.text


@pytest.mark.parametrize("rpc", RPCS)
@ANYTHING
@given(data=st.data())
def test_any_bytes(bench: RootCoordBench, errors: Errors, rpc: str, data: st.DataObject) -> None:
    request = data.draw(requests(rpc))
    body = data.draw(damaged(request.SerializeToString()))
    outcome = ask(bench, errors, rpc, body)
    try:
        request_type(rpc).FromString(body)
    except DecodeError:
        assert outcome.grpc == INVALID_ARGUMENT
        assert "malformed " in outcome.text


def test_every_rpc_is_asked(bench: RootCoordBench) -> None:
    paths = {path for service in bench.subject.services for path in service.__mapping__()}
    assert {path.rpartition("/")[2] for path in paths} == set(RPCS)
    assert len(RPCS) == 47


@pytest.mark.parametrize("rpc", ACCEPTED)
def test_what_is_altered_is_accepted_as_it_is(
    bench: RootCoordBench, errors: Errors, rpc: str
) -> None:
    """Were every request refused, nothing would be tested above."""
    before = bench.stored()
    outcome = bench.ask(rpc, accepted(rpc).SerializeToString())
    assert not was_refused(rpc, outcome), outcome
    assert (bench.stored() != before) is (rpc in CHANGING)
    assert errors.lines == []
    assert bench.damage() == []
    if rpc in CHANGING:
        bench.renew()
