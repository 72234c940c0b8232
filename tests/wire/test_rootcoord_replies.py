"""Schemas and replies about collections, against protobuf's own runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.coordinators.rootcoord.collections import rpcs_replies as replies
from milvus_coord.coordinators.rootcoord.collections.rpcs_describe_cache import DescribeCache
from milvus_coord.model.collection import Partition
from milvus_coord.model.errors import Refused
from milvus_coord.model.schema import CollectionSchema, Field
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.wire.codec import Encoded
from milvus_coord.wire.schema import encode_schema, parse_schema
from testing.ddl_rpcs import CREATED, FIELDS, collection
from testing.messages import message_class

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
FIELD = st.builds(
    Field,
    id=INT64,
    name=TEXT,
    data_type=INT32,
    description=TEXT,
    is_primary_key=st.booleans(),
    auto_id=st.booleans(),
    is_dynamic=st.booleans(),
    is_partition_key=st.booleans(),
    type_params=PAIRS,
    index_params=PAIRS,
)
SCHEMA = st.builds(
    CollectionSchema,
    name=TEXT,
    description=TEXT,
    auto_id=st.booleans(),
    enable_dynamic_field=st.booleans(),
    fields=st.lists(FIELD, max_size=4).map(tuple),
)


def pairs(container: Any) -> list[tuple[str, str]]:
    return [(each.key, each.value) for each in container]


@given(schema=SCHEMA)
def test_schemas_both_ways(schema: CollectionSchema) -> None:
    data = encode_schema(schema)
    message = message_class("schema.CollectionSchema").FromString(data)
    assert (message.name, message.description) == (schema.name, schema.description)
    assert message.autoID is schema.auto_id
    assert message.enable_dynamic_field is schema.enable_dynamic_field
    assert len(message.fields) == len(schema.fields)
    for got, field in zip(message.fields, schema.fields, strict=True):
        assert (got.fieldID, got.name, got.data_type) == (field.id, field.name, field.data_type)
        assert got.description == field.description
        assert (got.is_primary_key, got.autoID) == (field.is_primary_key, field.auto_id)
        assert (got.is_dynamic, got.is_partition_key) == (field.is_dynamic, field.is_partition_key)
        assert pairs(got.type_params) == list(field.type_params)
        assert pairs(got.index_params) == list(field.index_params)
    assert parse_schema(data) == schema


def test_what_go_drops_of_a_schema_is_dropped() -> None:
    message = message_class("schema.CollectionSchema")(
        fields=[{"name": "a", "state": 2, "element_type": 5, "default_value": {"bool_data": True}}]
    )
    assert parse_schema(message.SerializeToString()) == CollectionSchema(
        "", fields=(Field(id=0, name="a", data_type=0),)
    )


@pytest.mark.parametrize("size", range(1, 9))
def test_a_schema_cut_off(size: int) -> None:
    data = encode_schema(CollectionSchema("books", "", fields=FIELDS))
    with pytest.raises(Refused, match="the schema cannot be parsed"):
        parse_schema(data[: len(data) - size])


@given(names=st.lists(TEXT, max_size=5), start=st.integers(0, 2**63))
def test_lists_have_the_same_length(names: list[str], start: int) -> None:
    found = [
        replace(collection(10 + i, name), created_at=Timestamp(start + i))
        for i, name in enumerate(names)
    ]
    shown = read(replies.show_collections(iter(found)), "milvus.ShowCollectionsResponse")
    assert list(shown.collection_names) == names
    assert list(shown.collection_ids) == [each.id for each in found]
    partitions = [Partition(each.id, each.name, 1, each.created_at) for each in found]
    parts = read(replies.show_partitions(iter(partitions)), "milvus.ShowPartitionsResponse")
    assert list(parts.partition_names) == names
    assert list(parts.partitionIDs) == [each.id for each in partitions]
    for reply in (shown, parts):
        assert list(reply.created_timestamps) == [each.created_at for each in found]
        assert list(reply.created_utc_timestamps) == [each.created_at >> 18 for each in found]


def read(reply: object, name: str) -> Any:
    """The message in an encoded reply; its status is there, as Go proxies need it."""
    assert isinstance(reply, Encoded)
    message = message_class(name).FromString(reply)
    assert message.HasField("status")
    assert message.status == message_class("common.Status")()
    return message


def described(reply: object) -> Any:
    return read(reply, "milvus.DescribeCollectionResponse")


PARTITIONS = tuple(Partition(i, f"p{i}", 10, CREATED) for i in range(3))


@given(db_name=TEXT, name=TEXT, fields=st.lists(FIELD, max_size=2).map(tuple))
def test_the_cache_says_the_same(db_name: str, name: str, fields: tuple[Field, ...]) -> None:
    cache = DescribeCache()
    found = collection(10, name, fields=fields)
    fresh = replies.describe_collection(
        found, aliases=("a", "b"), num_partitions=3, db_name=db_name
    )
    for _ in range(2):
        reply = cache.reply(found, PARTITIONS, ("a", "b"), db_name)
        assert described(reply) == described(fresh)
        assert described(reply).db_name == db_name


def test_the_cache_answers_only_from_what_it_was_given() -> None:
    cache = DescribeCache()
    books = collection(10, "books")

    def told(found: Any = books, partitions: Any = PARTITIONS, aliases: Any = ("a",)) -> Any:
        return described(cache.reply(found, partitions, aliases, ""))

    assert told().num_partitions == 3
    assert told(partitions=PARTITIONS[:2]).num_partitions == 2
    assert told(aliases=("a", "b")).aliases == ["a", "b"]
    assert told(found=collection(10, "tracts")).collection_name == "tracts"
    assert told(found=collection(11, "papers")).collectionID == 11
    assert told().collection_name == "books"


def test_the_cache_is_used_and_bounded() -> None:
    found = [collection(id_, f"c{id_:03}") for id_ in range(100)]
    size = len(cast(bytes, DescribeCache().reply(found[0], PARTITIONS, (), "")))
    cache = DescribeCache(bytes_max=10 * size + 20)
    for each in found:
        cache.reply(each, PARTITIONS, (), "")
    assert 8 * size < cache.bytes_held <= 10 * size + 20
    assert described(cache.reply(found[0], PARTITIONS, (), "")).collection_name == "c000"
    held = cache.bytes_held
    for _ in range(50):
        cache.reply(found[0], PARTITIONS, (), "some database")
    assert cache.bytes_held == held


def test_a_reply_above_the_bound_is_not_kept() -> None:
    cache = DescribeCache(bytes_max=10)
    reply = cache.reply(collection(1, "books"), PARTITIONS, (), "")
    assert described(reply).collection_name == "books"
    assert cache.bytes_held == 0


def test_exists() -> None:
    assert read(replies.exists(True), "milvus.BoolResponse").value is True
    assert read(replies.exists(False), "milvus.BoolResponse").value is False
