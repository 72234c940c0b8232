"""The largest things that are accepted still fit into etcd's requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from milvus_coord.coordinators.rootcoord.collections.rules_requests import (
    FIELDS_MAX,
    NAME_BYTES_MAX,
    RECORD_BYTES_MAX,
    check_field_count,
    check_key_name,
    check_name,
    check_record,
)
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.etcd.txn import Op, Put
from milvus_coord.model.collection import Collection, CollectionState, Partition
from milvus_coord.model.database import Alias
from milvus_coord.model.errors import Refused
from milvus_coord.model.schema import CollectionSchema, Field, Pairs
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.wire.schema import encode_schema
from testing.ddl_rpcs import collection

ETCD_REQUEST_BYTES_MAX = 1_572_864
"""`--max-request-bytes`, 1.5 MiB, as is."""
SPARE_BYTES = 64 << 10
"""For the guards of a transaction and the framing of its parts."""
CATALOG = Catalog("by-dev/meta")
NAME = "n" * NAME_BYTES_MAX
TS = Timestamp(2**63)


def largest(transactions: list[tuple[Op, ...]]) -> int:
    """Bytes of the largest one."""
    sizes = [
        sum(len(op.key) + len(op.value) for op in ops if isinstance(op, Put))
        for ops in transactions
    ]
    assert max(len(ops) for ops in transactions) <= 128
    return max(sizes)


def create(fields: tuple[Field, ...], properties: Pairs) -> int:
    """Of a new collection with 64 partitions."""
    check_record("it", len(encode_schema(CollectionSchema(NAME, fields=fields))), properties)
    check_field_count("it", len(fields))
    new = replace(
        collection(10, NAME, state=CollectionState.CREATING, properties=properties), fields=fields
    )
    partitions = [Partition(i, NAME, 10, TS) for i in range(64)]
    return largest(CATALOG.create_collection(new, partitions, TS))


SPACE = RECORD_BYTES_MAX - NAME_BYTES_MAX - 1000


@pytest.mark.parametrize(
    ("fields", "properties"),
    [
        ((), (("k", "v" * SPACE),)),
        ((), (("k" * (SPACE // 2), "v" * (SPACE // 2)),)),
        ((Field(100, "a", 5, "d" * SPACE),), ()),
        (tuple(Field(i, "a" * (SPACE // 60), 5) for i in range(50)), ()),
        (
            tuple(Field(i, "a" * (SPACE // 2 // 50), 5) for i in range(50)),
            (("k", "v" * (SPACE // 2)),),
        ),
        (tuple(Field(i, "a" * 400, 5) for i in range(FIELDS_MAX)), ()),
    ],
)
def test_the_largest_collections(fields: tuple[Field, ...], properties: Pairs) -> None:
    assert create(fields, properties) < ETCD_REQUEST_BYTES_MAX - SPARE_BYTES


def test_many_small_properties_count_with_what_frames_them() -> None:
    pairs = tuple((str(i), "") for i in range(RECORD_BYTES_MAX // 16))
    assert create((), pairs) < ETCD_REQUEST_BYTES_MAX - SPARE_BYTES
    with pytest.raises(Refused):
        check_record("it", 0, tuple(("", "") for _ in range(RECORD_BYTES_MAX // 8 + 1)))


def test_a_collection_with_many_aliases_of_the_longest_names_can_be_dropped() -> None:
    whole: Collection = replace(collection(10, NAME), state=CollectionState.DROPPING)
    aliases = [f"{i:04}" + "a" * (NAME_BYTES_MAX - 4) for i in range(300)]
    dropped = CATALOG.drop_collection(whole, [Partition(1, NAME, 10, TS)], aliases, TS)
    assert largest(dropped) < ETCD_REQUEST_BYTES_MAX - SPARE_BYTES


def test_the_longest_alias() -> None:
    check_key_name("alias", NAME)
    assert largest(CATALOG.put_alias(Alias(NAME, 1, 10, TS), TS)) < ETCD_REQUEST_BYTES_MAX


@pytest.mark.parametrize("name", ["a", "..a", "a.b", "集合", "\x00", "a_ts12", "$x"])
def test_names_that_proxies_refuse_are_not_our_concern(name: str) -> None:
    check_name("collection", name)
    check_key_name("alias", name)
