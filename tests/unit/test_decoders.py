"""Whatever stands in etcd or in a report: a decoder gives a value, or its one error.

The table has all decoders; one that is added without a row makes a test fail.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import milvus_coord
from milvus_coord.allocator import window
from milvus_coord.app.roles import ROLES
from milvus_coord.coordinators.rootcoord.imports.catalog import ImportCatalog
from milvus_coord.coordinators.rootcoord.quota import rules_readings
from milvus_coord.coordinators.rootcoord.quota.rules_readings import BadReport
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.etcd.values import KeyValue, Listing
from milvus_coord.ha.election.server_id import BadCounter, allocate
from milvus_coord.ha.mirror.records import line
from milvus_coord.ha.pair.keys import Keys, number_after
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.snapshot_reducer import SnapshotReducer
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import ManualClock
from tests.unit.test_ha_json_records import SAMPLES

Decode = Callable[[bytes], object]

KEY: Final = b"by-dev/meta/ha/rootcoord/some-key"
KEYS: Final = Keys("by-dev/meta", "rootcoord")
RECORDS: Final[dict[type[Any], Any]] = {
    **SAMPLES,
    LeadershipRecord: LeadershipRecord(7, "h:1", TermState.HELD, 1000),
    SessionRecord: SessionRecord(7, "rootcoord", "h:1", fenced=True),
}
IMPORTS: Final = ImportCatalog("by-dev/kv")
DECODERS: Final[dict[str, tuple[Decode, type[Exception]]]] = {
    **{kind.__qualname__: (partial(kind.decode, KEY), BadValue) for kind in RECORDS},
    "allocator.window": (partial(window.decode, "by-dev/kv/tso"), BadValue),
    "ImportCatalog": (partial(IMPORTS.decode, IMPORTS.key(7)), BadValue),
    "query_cluster": (lambda value: rules_readings.query_cluster(_text(value)), BadReport),
    "data_cluster": (lambda value: rules_readings.data_cluster(_text(value)), BadReport),
    "proxy_throughput": (lambda value: rules_readings.proxy_throughput(_text(value)), BadReport),
}

DIGITS: Final = st.sampled_from(
    ["9" * 5000, "-" + "9" * 400, "18446744073709551616", "1e999", "-1"]
)
SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(
        ["\ud800", "x" * 70_000, float("nan"), float("inf"), 2**64, -(2**63), 10**400]
    )
)
VALUES: Final = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
RAW: Final = (
    st.binary(max_size=64)
    | DIGITS.map(str.encode)
    | st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"\xff" * 8, b"0" * 1_500_000, b""])
)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def odd_records(sample: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """A good record in which one field is anything, given twice at times."""

    def spoilt(name: str, value: object, digits: str | None) -> bytes:
        if digits is None:
            return json.dumps({**sample, name: value}).encode()
        return (json.dumps(sample)[:-1] + f", {json.dumps(name)}: {digits}}}").encode()

    return st.builds(spoilt, st.sampled_from(sorted(sample)), VALUES, st.none() | DIGITS)


def decoded(decode: Decode, refusal: type[Exception], value: bytes) -> None:
    try:
        decode(value)
    except refusal as error:
        str(error).encode()


@pytest.mark.parametrize("name", DECODERS)
@given(value=RAW | VALUES.map(lambda value: json.dumps(value).encode()))
def test_anything_is_read_or_refused(name: str, value: bytes) -> None:
    decoded(*DECODERS[name], value)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_record_with_one_odd_field_is_read_or_refused(
    kind: type[Any], data: st.DataObject
) -> None:
    value = data.draw(odd_records(json.loads(RECORDS[kind].encode())))
    decoded(partial(kind.decode, KEY), BadValue, value)


REPORT: Final = {
    "cluster": {
        "connected_nodes": [
            {
                "id": 7,
                "quota_metrics": {
                    "Hms": {"memory": 5, "memory_usage": 3},
                    "Fgm": {"NumFlowGraph": 1, "MinFlowGraphTt": 5, "MinFlowGraphChannel": "c"},
                    "Effect": {"CollectionIDs": [3]},
                    "SearchQueue": {"UnsolvedQueue": 1, "AvgQueueDuration": 2},
                },
            }
        ],
        "self": {"quota_metrics": {"CollectionBinlogSize": {"3": 4}, "TotalBinlogSize": 4}},
    },
    "quota_metrics": {"Rms": [{"Label": "x", "Rate": 1.5}]},
}


@given(data=st.data())
def test_a_report_with_one_odd_value_is_read_or_refused(data: st.DataObject) -> None:
    value = data.draw(VALUES)
    places = list(_places(REPORT))
    text = json.dumps(_with(REPORT, data.draw(st.sampled_from(places)), value))
    for read in (
        rules_readings.query_cluster,
        rules_readings.data_cluster,
        rules_readings.proxy_throughput,
    ):
        decoded(lambda raw, read=read: read(raw.decode()), BadReport, text.encode())  # type: ignore[misc]  # one argument is enough


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, each in inner:
        if isinstance(each, dict | list):
            yield from _places(each, (*path, name))
        else:
            yield (*path, name)


def _with(value: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("suffix", [b"", b"challenge-", b"answer-", b"status-", b"history/"])
@given(data=st.data())
def test_a_snapshot_takes_any_key_and_value(suffix: bytes, data: st.DataObject) -> None:
    tail = data.draw(st.binary(max_size=6) | DIGITS.map(str.encode) | st.just(b"7"))
    sample = data.draw(st.sampled_from([*RECORDS.values()])).encode()
    value = data.draw(RAW | odd_records(json.loads(sample)) | st.just(sample))
    reducer = SnapshotReducer(KEYS)
    for prefix in (KEYS.ha, KEYS.active):
        kv = KeyValue(prefix + suffix + tail, value, 1, 2, 1, 0)
        reducer.take(prefix, Listing((kv,), 2), 0.0)
    shown = reducer.snapshot()
    assert shown.listed
    for sentence in shown.unreadable:
        sentence.encode()
    number_after(KEYS.challenges, KEYS.challenges + tail)


@pytest.mark.parametrize("role", ROLES)
@given(data=st.data())
def test_an_image_takes_any_key_and_value(role: str, data: st.DataObject) -> None:
    mirrored = ROLES[role].mirrored("by-dev/meta")
    image = mirrored.new_image()
    for _ in range(3):
        tail = data.draw(st.binary(max_size=12) | st.sampled_from(TAILS) | DIGITS.map(str.encode))
        key = data.draw(st.sampled_from(mirrored.prefixes)) + tail
        image.put(key, data.draw(RAW))
        if data.draw(st.booleans()):
            image.delete(key)
    assert all(line(record) for record in image.records())
    image.check()


TAILS: Final = (
    *(b"database/collection-info/1/7", b"database/db-info/1", b"database/alias/1/a"),
    *(b"partitions/7/8", b"fields/7/100", b"collection/7", b"collection-alias/a"),
    *(b"credential/users/u", b"credential/roles/r", b"credential/user-role-mapping/u/r"),
    *(b"credential/grantee-privileges/r/Global/*", b"credential/grantee-id/x/y"),
)


def test_every_decoder_is_in_the_table() -> None:
    rows = {name.rpartition(".")[2] for name in DECODERS} | NO_ROW.keys()
    missing = [
        f"{module.__name__}.{name}"
        for module in _modules()
        for name, one in vars(module).items()
        if inspect.isclass(one) and one.__module__ == module.__name__
        if "decode" in vars(one) and name not in rows
    ]
    assert not missing


NO_ROW: Final[dict[str, str]] = {
    "Codec": "a protocol",
    "WireCodec": "requests; tests/wire tries it with anything",
    "ClientCodec": "replies, which another process made",
    "RecordCodec": "a protocol",
}


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(milvus_coord.__path__, "milvus_coord."):
        if not found.name.startswith("milvus_coord.pb") and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


@pytest.mark.parametrize(
    "junk",
    [b"", b"x", b"9" * 5000, b"18446744073709551616", b"9223372036854775807", b"\xff", b"-1"],
)
async def test_a_counter_that_is_no_server_id_is_left_alone(junk: bytes) -> None:
    etcd = MemoryEtcd(ManualClock())
    await etcd.txn(Txn((), (put(KEYS.server_id, junk),)))
    with pytest.raises(BadCounter, match="put the next free one there"):
        await allocate(etcd, KEYS)
    stored = (await etcd.get(KEYS.server_id)).kv
    assert stored is not None
    assert stored.value == junk
    await etcd.txn(Txn((), (put(KEYS.server_id, b"41"),)))
    assert await allocate(etcd, KEYS) == 41


@pytest.mark.parametrize("bound_ns", [2**63, 2**64 - 1])
def test_a_bound_that_no_allocator_writes_is_none(bound_ns: int) -> None:
    """Go 2.2.16 reads it as a negative number, and goes on from its clock."""
    assert window.decode("k", bound_ns.to_bytes(8, "big")) == 0
    with pytest.raises(BadValue, match="the range ends"):
        window.encode(bound_ns)
    assert window.decode("k", window.encode(2**63 - 1)) == 2**63 - 1


def test_a_serve_lease_that_cannot_be_configured_is_waited_for_by_nobody() -> None:
    long = LeadershipRecord(7, "h:1", TermState.HELD, 3_600_000)
    with pytest.raises(BadValue, match="some-key"):
        LeadershipRecord.decode(KEY, long.encode())
