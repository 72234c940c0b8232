"""The choices of DDL: channels, what is the same collection, the rules of a schema."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.coordinators.rootcoord.collections.channels import ChannelPool, pool_size
from milvus_coord.coordinators.rootcoord.collections.rules_schema import (
    SYSTEM_FIELDS,
    assembled,
    check_schema,
    partition_names,
)
from milvus_coord.coordinators.rootcoord.metadata.rules_equality import same_definition
from milvus_coord.model.collection import Collection, Partition
from milvus_coord.model.errors import Refused
from milvus_coord.model.schema import (
    BINARY_VECTOR,
    DYNAMIC,
    INT64,
    JSON,
    ROW_ID,
    TIMESTAMP,
    CollectionSchema,
    Field,
)
from milvus_coord.model.timestamps import Timestamp
from testing.rootcoord_world import FIELDS


def test_the_pool_is_as_configured_unless_more_is_in_use() -> None:
    assert pool_size(16, []) == 16
    assert pool_size(16, ["p_3"]) == 16
    assert pool_size(16, ["p_16", "p_2"]) == 17
    assert pool_size(16, ["nonsense", "p_x"]) == 16, "Go 2.2.16 panics"


def test_fewest_collections_then_least_often_chosen_then_lowest_number() -> None:
    pool = ChannelPool("p", 3)
    assert pool.choose(2, {}) == ("p_0", "p_1")
    assert pool.choose(1, {}) == ("p_2",), "the others were chosen before"
    assert pool.choose(1, {}) == ("p_0",)
    assert pool.choose(2, {"p_0": 1, "p_1": 2}) == ("p_2", "p_0")
    assert pool.choose(4, {}) == ("p_1", "p_2", "p_0")
    assert pool.names == ("p_0", "p_1", "p_2")


@given(st.lists(st.integers(1, 4), max_size=40))
def test_collections_that_stay_are_spread_evenly(shards: list[int]) -> None:
    pool, references = ChannelPool("p", 7), Counter[str]()
    for count in shards:
        chosen = pool.choose(count, references)
        assert len(set(chosen)) == count
        references.update(chosen)
    counts = [references[name] for name in pool.names]
    assert max(counts) - min(counts) <= 1


SCHEMA = CollectionSchema("c", fields=FIELDS)


def make(**changes: object) -> Collection:
    plain = Collection(
        id=1,
        db_id=1,
        name="c",
        description="",
        auto_id=False,
        enable_dynamic_field=False,
        fields=assembled(SCHEMA),
        virtual_channels=(),
        physical_channels=(),
        shards=1,
        start_positions=(),
        consistency_level=1,
        properties=(("a", "1"), ("b", "2")),
        created_at=Timestamp(5),
    )
    return replace(plain, **changes)  # type: ignore[arg-type] # fields by their names


PARTITIONS = (Partition(2, "_default", 1, Timestamp(5)),)


@pytest.mark.parametrize(
    "same",
    [
        {"id": 9, "created_at": 8, "virtual_channels": ("x",), "physical_channels": ("y",)},
        {"fields": tuple(reversed(assembled(SCHEMA)))},
        {"properties": (("b", "2"), ("a", "1"))},
    ],
    ids=["ids and channels", "order of fields", "order of properties"],
)
def test_what_makes_no_difference(same: dict[str, object]) -> None:
    assert same_definition(make(), PARTITIONS, make(**same), PARTITIONS)


@pytest.mark.parametrize(
    "other",
    [
        {"db_id": 2},
        {"name": "d"},
        {"description": "d"},
        {"auto_id": True},
        {"shards": 2},
        {"consistency_level": 2},
        {"enable_dynamic_field": True},
        {"properties": (("a", "1"),)},
        {"properties": (("a", "1"), ("b", "3"))},
        {"fields": assembled(SCHEMA)[1:]},
    ],
    ids=str,
)
def test_what_makes_another_collection(other: dict[str, object]) -> None:
    assert not same_definition(make(), PARTITIONS, make(**other), PARTITIONS)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"data_type": 4},
        {"description": "d"},
        {"is_primary_key": False},
        {"auto_id": True},
        {"is_dynamic": True},
        {"is_partition_key": True},
        {"type_params": (("max_length", "1"),)},
        {"index_params": (("x", "1"),)},
    ],
    ids=str,
)
def test_each_word_of_a_field_counts(change: dict[str, object]) -> None:
    fields = list(assembled(SCHEMA))
    fields[0] = replace(fields[0], **change)  # type: ignore[arg-type] # fields by their names
    assert not same_definition(make(), PARTITIONS, make(fields=tuple(fields)), PARTITIONS)


def test_another_partition_makes_another_collection() -> None:
    more = (*PARTITIONS, Partition(3, "p", 1, Timestamp(6)))
    assert not same_definition(make(), PARTITIONS, make(), more)


def test_fields_are_numbered_and_the_system_fields_come_last() -> None:
    fields = assembled(replace(SCHEMA, enable_dynamic_field=True))
    assert [(field.id, field.name) for field in fields] == [
        (100, "id"),
        (101, "v"),
        (102, DYNAMIC),
        (0, ROW_ID),
        (1, TIMESTAMP),
    ]
    assert fields[2] == Field(102, DYNAMIC, JSON, "dynamic schema", is_dynamic=True)
    assert fields[3:] == SYSTEM_FIELDS
    assert [field.description for field in SYSTEM_FIELDS] == ["row id", "time stamp"]


@pytest.mark.parametrize("name", [ROW_ID, TIMESTAMP, DYNAMIC])
def test_reserved_names(name: str) -> None:
    schema = replace(SCHEMA, fields=(*FIELDS, Field(0, name, INT64)))
    with pytest.raises(Refused) as refused:
        check_schema("c", schema, auto_index=False)
    assert str(refused.value) == "schema contains system field: RowID, Timestamp, $meta"


def test_binary_vectors_are_refused_with_auto_index_alone() -> None:
    schema = replace(SCHEMA, fields=(*FIELDS, Field(0, "b", BINARY_VECTOR)))
    check_schema("c", schema, auto_index=False)
    with pytest.raises(Refused) as refused:
        check_schema("c", schema, auto_index=True)
    assert str(refused.value) == "can not speficy binary vector when enabled with AutoIndex"


def test_partitions_of_a_collection_with_a_partition_key() -> None:
    def names(count: int, *, key: bool) -> tuple[str, ...]:
        fields = (*FIELDS, Field(0, "k", INT64, is_partition_key=key))
        return partition_names(
            "c", replace(SCHEMA, fields=fields), count, default_name="_default", max_partitions=3
        )

    assert names(3, key=True) == ("_default_0", "_default_1", "_default_2")
    assert names(3, key=False) == ("_default",)
    with pytest.raises(Refused) as none:
        names(0, key=True)
    with pytest.raises(Refused) as many:
        names(4, key=True)
    assert (
        str(none.value)
        == "the specified partitions should be greater than 0 if partition key is used"
    )
    assert str(many.value) == "partition number (4) exceeds max configuration (3), collection: c"
