"""What statements write: two puts for each key, split so that etcd takes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.coordinators.rootcoord.access.events import UserPut
from milvus_coord.coordinators.rootcoord.metadata import catalog_values as values
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import (
    TOMBSTONE,
)
from milvus_coord.coordinators.rootcoord.metadata.events import AliasHome, AliasPut, Damaged
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.etcd.txn import MAX_OPS, Put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.model.collection import Collection, CollectionState, PartitionState
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.schema import INT64, Field
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.metadata.transactions import BYTES_MAX, Transactions
from testing.metadata import META_ROOT, collection, partition, ts
from tests.unit.test_rootcoord_state_machine import view

CATALOG = Catalog(META_ROOT)
CREATING = CollectionState.CREATING


def written(transactions: Transactions) -> dict[str, bytes]:
    """Key -> value, relative to the meta root; every transaction must be one that etcd takes."""
    found: dict[str, bytes] = {}
    for ops in transactions:
        assert 0 < len(ops) <= MAX_OPS
        puts = [op for op in ops if isinstance(op, Put)]
        assert len(puts) == len(ops) == len({op.key for op in puts})
        assert sum(len(op.key) + len(op.value) for op in puts) <= 1.5 * BYTES_MAX
        found |= {op.key.decode().removeprefix(f"{META_ROOT}/"): op.value for op in puts}
    return found


def plain(transactions: Transactions) -> list[str]:
    """The plain keys, each of which must have the same value as its version in the same txn."""
    found = []
    for ops in transactions:
        puts = {op.key: op.value for op in ops if isinstance(op, Put)}
        versions = {key for key in puts if b"/snapshots/" in key}
        for key in puts.keys() - versions:
            (twin,) = [
                each
                for each in versions
                if each.rpartition(b"_ts")[0] == key.replace(b"meta/", b"meta/snapshots/")
            ]
            assert puts[twin] == puts[key]
            found.append(key.decode().removeprefix(f"{META_ROOT}/root-coord/"))
        assert len(versions) * 2 == len(puts)
    return found


def test_a_key_and_its_version() -> None:
    (ops,) = CATALOG.put_database(Database(1, "default", 5), Timestamp(470656566506815489))
    assert [op.key.decode() for op in ops] == [
        "by-dev/meta/root-coord/database/db-info/1",
        "by-dev/meta/snapshots/root-coord/database/db-info/1_ts470656566506815489",
    ]
    with pytest.raises(ValueError, match="timestamp 0"):
        CATALOG.drop_database(1, Timestamp(0))


def test_a_collection_is_created_in_one_transaction() -> None:
    c = collection(7, state=CREATING)
    (ops,) = CATALOG.create_collection(c, [partition(7, 8)], ts(1))
    assert sorted(plain([ops])) == [
        "database/collection-info/1/7",
        "fields/7/0",
        "fields/7/1",
        "fields/7/100",
        "fields/7/101",
        "partitions/7/8",
    ]
    with pytest.raises(ValueError, match="CREATING, not CREATED"):
        CATALOG.create_collection(collection(7), [], ts(1))


@pytest.mark.parametrize("partitions", [1, 54, 55, 56, 63, 64, 200, 4096])
def test_a_big_collection_is_created_with_its_record_first(partitions: int) -> None:
    c = collection(7, state=CREATING)
    parts = [partition(7, 100 + number) for number in range(partitions)]
    transactions = CATALOG.create_collection(c, parts, ts(1))
    everything = plain(transactions)
    assert len(everything) == len(set(everything)) == 1 + 4 + partitions
    assert everything[0] == "database/collection-info/1/7" or len(transactions) == 1
    assert (len(transactions) == 1) == (1 + 4 + partitions <= 60)
    if len(transactions) > 1:
        assert plain(transactions[:1]) == ["database/collection-info/1/7"]
    written(transactions)


@pytest.mark.parametrize("partitions", [1, 57, 58, 59, 60, 500])
def test_a_collection_is_dropped_with_its_record_last(partitions: int) -> None:
    c = collection(7, state=CollectionState.DROPPING)
    parts = [partition(7, 100 + number) for number in range(partitions)]
    transactions = CATALOG.drop_collection(c, parts, ("a", "b"), ts(1))
    everything = plain(transactions)
    assert len(everything) == len(set(everything)) == 1 + 4 + 2 + partitions
    assert plain(transactions[-1:]) == ["database/collection-info/1/7"]
    assert "database/aliases/1/b" in everything
    assert set(written(transactions).values()) == {TOMBSTONE}


def test_long_values_are_split_by_their_bytes() -> None:
    fields = tuple(Field(100 + n, f"f{n}", INT64, "x" * 60_000) for n in range(50))
    c = collection(7, state=CREATING, fields=fields)
    transactions = CATALOG.create_collection(c, [partition(7, 8)], ts(1))
    assert len(transactions) > 3
    assert len(plain(transactions)) == 52
    written(transactions)


def test_where_a_collection_is_written() -> None:
    assert plain(CATALOG.put_collection(collection(7), ts(1))) == ["database/collection-info/1/7"]
    assert plain(CATALOG.put_collection(collection(7, db_id=0), ts(1))) == ["collection/7"]
    old, new = collection(7, db_id=0), collection(7, "n", db_id=3)
    moved = written(CATALOG.move_collection(old, new, ts(2)))
    assert moved["root-coord/collection/7"] == TOMBSTONE
    assert moved[f"snapshots/root-coord/collection/7_ts{ts(2)}"] == TOMBSTONE
    bare = values.encode_collection(new)
    assert moved["root-coord/database/collection-info/3/7"] == bare
    assert moved[f"snapshots/root-coord/database/collection-info/3/7_ts{ts(2)}"] == bare
    with pytest.raises(ValueError, match="does not move"):
        CATALOG.move_collection(new, new, ts(2))


def test_an_alias_is_dropped_by_its_exact_name() -> None:
    assert plain(CATALOG.drop_alias(1, "ab", ts(1))) == ["database/aliases/1/ab"]
    assert plain(CATALOG.put_alias(Alias("ab", 0, 7, ts(1)), ts(1))) == ["database/aliases/1/ab"]


def test_old_records_are_moved() -> None:
    old = Alias("a", 1, 7, ts(1))
    records = [AliasPut(old, AliasHome.OLDEST), AliasPut(old), AliasPut(old, AliasHome.OLD)]
    moved = written(CATALOG.move_alias(records, ts(2)))
    assert moved["root-coord/database/aliases/1/a"] == values.encode_alias(old)
    assert moved["root-coord/aliases/a"] == moved["root-coord/collection-alias/a"] == TOMBSTONE
    unfolded = CATALOG.unfold_collection(collection(7, db_id=0), [partition(7, 8)], ts(2))
    assert plain(unfolded)[-1:] == ["collection/7"] or len(unfolded) == 1
    parts = [partition(7, 100 + number) for number in range(100)]
    many = CATALOG.unfold_collection(collection(7, db_id=0), parts, ts(2))
    assert "collection/7" in plain(many[-1:])
    assert "collection/7" not in plain(many[:-1])


def test_events() -> None:
    prefix = CATALOG.prefix
    assert prefix == b"by-dev/meta/root-coord/"
    assert CATALOG.event(prefix + b"something/else", b"x") is None
    assert CATALOG.event(prefix + b"\xff", b"x") == Damaged(
        prefix + b"\xff", CATALOG_TEXT.format(prefix + b"\xff"), None
    )
    user = CATALOG.event(prefix + b"credential/users/u", b'{"encrypted_password":"h"}')
    assert isinstance(user, UserPut)
    damaged = CATALOG.event(prefix + b"fields/7/100", b"\xff")
    assert isinstance(damaged, Damaged)
    assert CATALOG.event(prefix + b"fields/7/100", None) == damaged.gone
    assert CATALOG.event(prefix + b"fields/7/100", TOMBSTONE) == damaged.gone
    nonsense = CATALOG.event(prefix + b"fields/7/x", b"\xff")
    assert isinstance(nonsense, Damaged)
    assert CATALOG.event(prefix + b"fields/7/x", None) is None


CATALOG_TEXT = (
    "{!r} is no key that Milvus writes: "
    "'utf-8' codec can't decode byte 0xff in position 11: invalid start byte"
)


def test_versions_are_told_apart() -> None:
    snapshots = CATALOG.snapshots

    def parsed(key: bytes) -> tuple[bytes, int] | None:
        version = snapshots.parse(KeyValue(key, b"", 0, 1, 1, 1))
        return (version.key, version.ts) if version else None

    assert parsed(b"by-dev/meta/snapshots/k_ts12") == (b"k", 12)
    assert parsed(b"by-dev/meta/snapshots/a_ts12_ts7") == (b"a_ts12", 7)
    assert parsed(b"by-dev/meta/snapshots/k") is None
    assert parsed(b"by-dev/meta/snapshots/k_ts") is None
    assert parsed(b"other/meta/x/snapshots/k_ts1") is None
    assert snapshots.version("k", Timestamp(12)) == b"by-dev/meta/snapshots/k_ts12"


Statement = Callable[[Timestamp], Transactions]
numbers = st.integers(10, 12)


def one(number: int, **changes: object) -> Collection:
    return collection(number, "abc"[number - 10], **changes)


statements: st.SearchStrategy[Statement] = st.one_of(
    st.builds(
        lambda n: lambda t: CATALOG.put_database(Database(n, "abc"[n - 1], 5), t), st.integers(1, 3)
    ),
    st.builds(lambda n: lambda t: CATALOG.drop_database(n, t), st.integers(1, 3)),
    st.builds(
        lambda n, many: (
            lambda t: CATALOG.create_collection(
                one(n, state=CREATING), [partition(n, 100 + p) for p in range(many)], t
            )
        ),
        numbers,
        st.sampled_from([1, 2, 70]),
    ),
    st.builds(
        lambda n, state, db: lambda t: CATALOG.put_collection(one(n, state=state, db_id=db), t),
        numbers,
        st.sampled_from(CollectionState),
        st.integers(0, 2),
    ),
    st.builds(
        lambda n, a, b: lambda t: CATALOG.move_collection(one(n, db_id=a), one(n, db_id=a + b), t),
        numbers,
        st.integers(0, 1),
        st.integers(1, 2),
    ),
    st.builds(
        lambda n, many: (
            lambda t: CATALOG.drop_collection(
                one(n), [partition(n, 100 + p) for p in range(many)], ("a",), t
            )
        ),
        numbers,
        st.sampled_from([1, 2, 70]),
    ),
    st.builds(
        lambda n, p, state: lambda t: CATALOG.put_partition(partition(n, p, state=state), t),
        numbers,
        st.integers(100, 102),
        st.sampled_from(PartitionState),
    ),
    st.builds(
        lambda n, p: lambda t: CATALOG.drop_partition(partition(n, p), t),
        numbers,
        st.integers(100, 102),
    ),
    st.builds(
        lambda n, db, name: lambda t: CATALOG.put_alias(Alias(name, db, n, t), t),
        numbers,
        st.integers(0, 2),
        st.sampled_from("abc"),
    ),
    st.builds(
        lambda db, name: lambda t: CATALOG.drop_alias(db, name, t),
        st.integers(0, 2),
        st.sampled_from("abc"),
    ),
)


@given(st.lists(statements, max_size=25), st.data())
def test_following_what_was_committed_is_reading_it_anew(
    happened: list[Statement], data: st.DataObject
) -> None:
    stored: dict[bytes, bytes] = {}
    followed = MetaImage.maker(CATALOG)()
    for number, statement in enumerate(happened):
        transactions = statement(ts(number))
        done = data.draw(st.integers(0, len(transactions)), label="of these were committed")
        for ops in transactions[:done]:
            for op in ops:
                assert isinstance(op, Put)
                stored[op.key] = op.value
                if op.key.startswith(CATALOG.prefix):
                    followed.put(op.key, op.value)
    fresh = MetaImage.maker(CATALOG)()
    for key in sorted(stored):
        if key.startswith(CATALOG.prefix):
            fresh.put(key, stored[key])
    assert followed.state.check() == fresh.state.check() == []
    assert view(followed.state) == view(fresh.state)
