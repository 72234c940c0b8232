"""Session and leadership records: Go's bytes, and clear words about anything else."""

from __future__ import annotations

import pytest

from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import BadValue

GO = (
    b'{"ServerID":1,"ServerName":"rootcoord","Address":"10.0.0.2:53100",'
    b'"Exclusive":true,"TriggerKill":true,"Version":"2.2.16"}'
)


def test_bytes_are_those_of_go() -> None:
    assert SessionRecord(1, "rootcoord", "10.0.0.2:53100").encode() == GO


def test_our_own_field_comes_last() -> None:
    ours = SessionRecord(1, "rootcoord", "10.0.0.2:53100", fenced=True).encode()
    assert ours == GO[:-1] + b',"Fenced":true}'
    assert SessionRecord.decode(b"k", ours).fenced


def test_go_is_not_fenced() -> None:
    assert not SessionRecord.decode(b"k", GO).fenced


def test_unknown_fields_and_an_empty_version_are_taken() -> None:
    read = SessionRecord.decode(b"k", b'{"ServerID":7,"Stopping":true,"New":[1],"Version":""}')
    assert (read.server_id, read.address, read.version) == (7, "", "")
    assert read.stopping


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{junk",
        b"\xff\xfe",
        b"[]",
        b"7",
        b'{"ServerID":"7"}',
        b'{"ServerID":true}',
        b'{"ServerID":1.0}',
        b'{"Address":7}',
        b'{"ServerID":1,"Version":"v2.2.16"}',
        b'{"ServerID":1,"Version":"2.2"}',
        b'{"ServerID":1,"Version":"2.02.16"}',
        b'{"ServerID":-1}',
        b'{"ServerID":9223372036854775808}',
        b'{"ServerID":%s}' % (b"9" * 5000),
        b'{"ServerID":1,"Stopping":"yes"}',
        b"[" * 60_000,
        b"[" * 100_000,
        b'{"ServerID":1,"New":"%s"}' % (b"x" * 65_536),
    ],
)
def test_junk_is_named(value: bytes) -> None:
    with pytest.raises(BadValue, match="session/rootcoord-7 holds no session"):
        SessionRecord.decode(b"by-dev/meta/session/rootcoord-7", value)


def test_leadership_record_round_trip() -> None:
    record = LeadershipRecord(7, "10.0.0.2:53100", TermState.RELEASED, 1000)
    assert LeadershipRecord.decode(b"k", record.encode()) == record
    assert record.encode() == (
        b'{"server_id":7,"address":"10.0.0.2:53100","state":"released","serve_lease_ms":1000,"why":"",'
        b'"stop_ms":null,"at_ms":0}'
    )


@pytest.mark.parametrize("value", [b"", b"{}", b'{"server_id":1,"address":"","state":"odd"}'])
def test_junk_for_a_leadership_record(value: bytes) -> None:
    with pytest.raises(BadValue, match="ha/rootcoord/leadership is not readable"):
        LeadershipRecord.decode(b"ha/rootcoord/leadership", value)


def test_keys() -> None:
    keys = Keys("by-dev/meta", "rootcoord")
    assert keys.server_id == b"by-dev/meta/session/id"
    assert keys.active == b"by-dev/meta/session/rootcoord"
    assert keys.instance(7) == b"by-dev/meta/session/rootcoord-7"
    assert keys.status(7) == b"by-dev/meta/ha/rootcoord/instance-7"


@pytest.mark.parametrize(
    ("key", "mine"),
    [
        ("rootcoord", True),
        ("rootcoord-7", True),
        ("rootcoord-", False),
        ("rootcoord-x", False),
        ("rootcoord7", False),
        ("rootcoordinator-7", False),
        ("datacoord", False),
    ],
)
def test_a_key_that_is_only_alike_is_no_session(key: str, mine: bool) -> None:
    assert (
        Keys("by-dev/meta", "rootcoord").is_session(f"by-dev/meta/session/{key}".encode()) is mine
    )
