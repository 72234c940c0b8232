"""What instances tell each other in etcd: there and back, and junk that names its key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, Self, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.ha.pair import json_record
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.operator_records import Pause, RequestState, SwitchoverRequest
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.model.errors import BadValue
from milvus_coord.model.states import Phase

KEY = b"by-dev/meta/ha/rootcoord/some-key"
NUMBER = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


class Record(Protocol):
    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, key: bytes, value: bytes) -> Self: ...


TIMES = st.integers(0, json_record.UNIX_MS_MAX)
NONCES = st.builds(Challenge, TEXT, NUMBER)
PAUSES = st.builds(Pause, TEXT, TIMES, TEXT, TIMES)
REQUESTS = st.builds(
    SwitchoverRequest, TEXT, NUMBER, NUMBER, TEXT, st.sampled_from(RequestState), TEXT, TEXT
)
TAKEOVERS = st.builds(
    Takeover,
    epoch=NUMBER,
    server_id=NUMBER,
    address=TEXT,
    from_server_id=NUMBER,
    from_address=TEXT,
    cause=st.sampled_from(Cause),
    at_ms=TIMES,
    phases=st.dictionaries(TEXT, st.floats(0, 1e6), max_size=5),
    served=st.booleans(),
    asked_by=TEXT,
    reason=TEXT,
)
STATUSES = st.builds(
    InstanceStatus,
    server_id=NUMBER,
    phase=st.sampled_from(Phase),
    ready=st.booleans(),
    why=st.lists(TEXT, max_size=3).map(tuple),
    address=TEXT,
    management=TEXT,
    version=TEXT,
    epoch=NUMBER,
    lease_age_ms=NUMBER,
    serve_age_ms=st.none() | NUMBER,
    revision=NUMBER,
    behind=st.none() | NUMBER,
    etcd_ms=NUMBER,
    loop_lag_ms=NUMBER,
)
SAMPLES: Mapping[type[Record], Record] = {
    Challenge: Challenge("n", 7),
    Pause: Pause("ann", 7, "upgrade"),
    SwitchoverRequest: SwitchoverRequest("n", 7, 2, "ann"),
    Takeover: Takeover(7, 1, "h:1", 2, "h:2", Cause.SILENT, 3, {"claim": 1.5}, True),
    InstanceStatus: InstanceStatus(
        1, Phase.STANDBY, False, ("odd",), "h:1", "h:2", "0.1", 0, 1, None, 2, None, 3, 4
    ),
}

LATER = {
    (Pause, "until_ms"),
    (SwitchoverRequest, "reason"),
    (Takeover, "asked_by"),
    (Takeover, "reason"),
}
"""Fields that the version before does not write."""
JUNK = (
    b"",
    b"{junk",
    b"\xff\xfe",
    b"[]",
    b"7",
    b"null",
    b'"text"',
    b"{}",
    b"[" * 100_000,
    b'{"epoch":1}',
)
ODD_VALUES: tuple[Any, ...] = (None, [], {}, "x", float("inf"), float("nan"), [[1]], {"a": 1})


@given(st.one_of(NONCES, PAUSES, REQUESTS, TAKEOVERS, STATUSES))
def test_there_and_back(record: Record) -> None:
    assert type(record).decode(KEY, record.encode()) == record


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("value", JUNK)
def test_junk_is_refused_by_the_name_of_its_key(kind: type[Record], value: bytes) -> None:
    with pytest.raises(BadValue, match=r"^by-dev/meta/ha/rootcoord/some-key is not readable"):
        kind.decode(KEY, value)


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_every_field_may_be_anything(kind: type[Record]) -> None:
    """A record with one odd field is read or refused; nothing else is raised."""
    fields = json.loads(SAMPLES[kind].encode())
    refused = 0
    for name in fields:
        for odd in ODD_VALUES:
            value = json.dumps({**fields, name: odd}).encode()
            try:
                kind.decode(KEY, value)
            except BadValue as error:
                assert KEY.decode() in str(error)  # noqa: PT017 - read or refused, both are right
                refused += 1
        if (kind, name) in LATER:
            continue
        without = {key: held for key, held in fields.items() if key != name}
        with pytest.raises(BadValue, match="some-key"):
            kind.decode(KEY, json.dumps(without).encode())
    assert refused


@pytest.mark.parametrize(("kind", "name"), sorted(LATER, key=str))
def test_records_of_the_version_before_are_read(kind: type[Record], name: str) -> None:
    fields = json.loads(SAMPLES[kind].encode())
    del fields[name]
    assert kind.decode(KEY, json.dumps(fields).encode()) == SAMPLES[kind]


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_fields_of_a_later_version_are_passed_over(kind: type[Record]) -> None:
    fields = json.loads(SAMPLES[kind].encode())
    more = json.dumps({**fields, "later": [1]}).encode()
    assert kind.decode(KEY, more) == SAMPLES[kind]


@pytest.mark.parametrize("odd", [-1, 1e20, 1e30, 10**17, float("nan")])
@pytest.mark.parametrize(
    ("kind", "name"), [(Pause, "since_ms"), (Pause, "until_ms"), (Takeover, "at_ms")]
)
def test_a_time_that_no_calendar_has_is_refused(kind: type[Record], name: str, odd: float) -> None:
    fields = {**json.loads(SAMPLES[kind].encode()), name: odd}
    with pytest.raises(BadValue, match="some-key"):
        kind.decode(KEY, json.dumps(fields).encode())


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "1", None])
def test_a_phase_takes_a_time(odd: object) -> None:
    fields = {**json.loads(SAMPLES[Takeover].encode()), "phases": {"claim": odd}}
    with pytest.raises(BadValue, match="some-key"):
        Takeover.decode(KEY, json.dumps(fields).encode())


def test_bytes_are_compact_and_in_order() -> None:
    assert Pause("anne-marie ü", 7).encode() == (
        '{"by":"anne-marie ü","since_ms":7,"reason":"","until_ms":0}'.encode()
    )
    assert SAMPLES[Takeover].encode() == (
        b'{"epoch":7,"server_id":1,"address":"h:1","from_server_id":2,"from_address":"h:2",'
        b'"cause":"silent","at_ms":3,"phases":{"claim":1.5},"served":true,"asked_by":"","reason":""}'
    )


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Nested:
    one: Colour
    several: tuple[Colour, ...]
    named: Mapping[str, object]


def test_enums_are_their_values_wherever_they_stand() -> None:
    nested = Nested(Colour.RED, (Colour.RED,), {"a": Colour.RED, "b": [{"c": Colour.RED}]})
    assert json_record.fields_of(KEY, json_record.encode(nested)) == {
        "one": "red",
        "several": ["red"],
        "named": {"a": "red", "b": [{"c": "red"}]},
    }


def test_what_has_no_place_in_json_is_not_written() -> None:
    with pytest.raises(TypeError, match="no place in a record"):
        json_record.encode(Nested(Colour.RED, (), {"a": cast("Any", object())}))
