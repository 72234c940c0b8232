"""Keys and values of RootCoord's metadata, byte for byte those of a live Go 2.2.16."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.coordinators.rootcoord.metadata import catalog_keys as keys
from milvus_coord.coordinators.rootcoord.metadata import catalog_values as values
from milvus_coord.coordinators.rootcoord.metadata import events
from milvus_coord.model.collection import (
    Collection,
    CollectionState,
    Partition,
    PartitionState,
    StartPosition,
)
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.errors import BadValue
from milvus_coord.model.schema import DYNAMIC, FLOAT_VECTOR, INT64, JSON, ROW_ID, TIMESTAMP, Field
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.wire.descriptors import message_class

# What a live cluster of Milvus 2.2.16 had in etcd.
COLLECTION_ID = 470656566506815847
CREATED_AT = Timestamp(470656584967258117)
DEMO = Collection(
    id=COLLECTION_ID,
    db_id=1,
    name="demo1",
    description="",
    auto_id=False,
    enable_dynamic_field=False,
    fields=(),
    virtual_channels=(
        f"by-dev-rootcoord-dml_0_{COLLECTION_ID}v0",
        f"by-dev-rootcoord-dml_1_{COLLECTION_ID}v1",
    ),
    physical_channels=("by-dev-rootcoord-dml_0", "by-dev-rootcoord-dml_1"),
    shards=2,
    start_positions=(
        StartPosition("by-dev-rootcoord-dml_0", bytes(8)),
        StartPosition("by-dev-rootcoord-dml_1", bytes(8)),
    ),
    consistency_level=2,
    properties=(),
    created_at=CREATED_AT,
)
LIVE: list[tuple[str, str, object]] = [
    (
        "root-coord/database/db-info/1",
        "120764656661756c741801200128d3cea5b3d7bfa5f518",
        events.DatabasePut(Database(1, "default", 1795412317306447699)),
    ),
    (
        f"root-coord/partitions/{COLLECTION_ID}/470656566506815848",
        "08e882e08ef5f486c40612085f64656661756c74188580b0f1b9f586c40620e782e08ef5f486c406",
        events.PartitionPut(Partition(470656566506815848, "_default", COLLECTION_ID, CREATED_AT)),
    ),
    (
        f"root-coord/fields/{COLLECTION_ID}/0",
        "1205526f7749442206726f772069642805",
        events.FieldPut(COLLECTION_ID, Field(0, ROW_ID, INT64, "row id")),
    ),
    (
        f"root-coord/fields/{COLLECTION_ID}/1",
        "0801120954696d657374616d70220a74696d65207374616d702805",
        events.FieldPut(COLLECTION_ID, Field(1, TIMESTAMP, INT64, "time stamp")),
    ),
    (
        f"root-coord/fields/{COLLECTION_ID}/100",
        "08641202696418012805",
        events.FieldPut(COLLECTION_ID, Field(100, "id", INT64, is_primary_key=True)),
    ),
    (
        f"root-coord/fields/{COLLECTION_ID}/101",
        "0865120176286532090a0364696d12023136",
        events.FieldPut(COLLECTION_ID, Field(101, "v", FLOAT_VECTOR, type_params=(("dim", "16"),))),
    ),
    (
        "root-coord/database/aliases/1/demo1_alias",
        "0a0b64656d6f315f616c69617310e782e08ef5f486c406188680a0b4c3f586c4062801",
        events.AliasPut(Alias("demo1_alias", 1, COLLECTION_ID, Timestamp(470656587523424262))),
    ),
]


@pytest.mark.parametrize(("key", "value", "event"), LIVE, ids=[key for key, _, _ in LIVE])
def test_live_values_are_read_and_written_as_they_are(key: str, value: str, event: object) -> None:
    deletion = keys.key_event(key)
    assert deletion is not None
    found = values.decode(deletion, bytes.fromhex(value))
    assert found == event
    assert encoded(found).hex() == value
    assert key_of(found) == key


def test_a_live_collection() -> None:
    start = (
        "08e782e08ef5f486c40612070a0564656d6f31188580b0f1b9f586c4063a2b62792d6465762d726f6f74636f"
        "6f72642d646d6c5f305f34373036353635363635303638313538343776303a2b"
    )
    assert encoded(events.CollectionPut(DEMO)).hex().startswith(start)
    message: Any = message_class("milvus.proto.etcd.CollectionInfo").FromString(
        values.encode_collection(DEMO)
    )
    assert not message.schema.fields
    assert not message.partitionIDs
    assert message.start_positions[0].data == bytes(8)
    assert message.state == 0


def test_the_dynamic_field() -> None:
    field = Field(103, DYNAMIC, JSON, "dynamic schema", is_dynamic=True)
    message: Any = message_class("milvus.proto.schema.FieldSchema").FromString(
        values.encode_field(field)
    )
    assert (message.data_type, message.is_dynamic) == (JSON, True)


def encoded(event: object) -> bytes:
    match event:
        case events.DatabasePut(database):
            return values.encode_database(database)
        case events.CollectionPut(collection):
            return values.encode_collection(collection)
        case events.PartitionPut(partition):
            return values.encode_partition(partition)
        case events.FieldPut(_, field):
            return values.encode_field(field)
        case events.AliasPut(alias):
            return values.encode_alias(alias)
    raise AssertionError(event)


def key_of(event: object) -> str:
    match event:
        case events.DatabasePut(database):
            return keys.database_key(database.id)
        case events.CollectionPut(collection):
            return keys.collection_key(collection.db_id, collection.id)
        case events.PartitionPut(partition):
            return keys.partition_key(partition.collection_id, partition.id)
        case events.FieldPut(collection_id, field):
            return keys.field_key(collection_id, field.id)
        case events.AliasPut(alias, home):
            return keys.alias_key(alias.db_id, alias.name, home)
    raise AssertionError(event)


ids = st.integers(1, (1 << 63) - 1)
timestamps = st.integers(0, (1 << 64) - 1).map(Timestamp)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
fields = st.builds(
    Field,
    id=st.integers(0, 200),
    name=names,
    data_type=st.sampled_from((INT64, JSON, FLOAT_VECTOR, 21)),
    description=texts,
    is_primary_key=st.booleans(),
    auto_id=st.booleans(),
    is_dynamic=st.booleans(),
    is_partition_key=st.booleans(),
    type_params=pairs,
    index_params=pairs,
)
collections = st.builds(
    Collection,
    id=ids,
    db_id=st.integers(0, 9),
    name=names,
    description=texts,
    auto_id=st.booleans(),
    enable_dynamic_field=st.booleans(),
    fields=st.just(()),
    virtual_channels=st.lists(texts, max_size=3).map(tuple),
    physical_channels=st.lists(texts, max_size=3).map(tuple),
    shards=st.integers(0, 1 << 20),
    start_positions=st.lists(st.builds(StartPosition, texts, st.binary(max_size=20))).map(tuple),
    consistency_level=st.integers(0, 4),
    properties=pairs,
    created_at=timestamps,
    state=st.sampled_from(CollectionState),
)
records = st.one_of(
    st.builds(events.DatabasePut, st.builds(Database, ids, names, st.integers(0, (1 << 64) - 1))),
    st.builds(events.CollectionPut, collections),
    st.builds(
        events.PartitionPut,
        st.builds(Partition, ids, names, ids, timestamps, st.sampled_from(PartitionState)),
    ),
    st.builds(events.FieldPut, ids, fields),
    st.builds(events.AliasPut, st.builds(Alias, names, st.integers(1, 9), ids, timestamps)),
)


@given(records)
def test_what_is_written_is_read(event: object) -> None:
    deletion = keys.key_event(key_of(event))
    assert deletion is not None
    assert values.decode(deletion, encoded(event)) == event


@given(st.binary(max_size=60), records)
def test_whatever_is_there_is_an_event_or_a_bad_value(value: bytes, event: object) -> None:
    deletion = keys.key_event(key_of(event))
    assert deletion is not None
    try:
        found = values.decode(deletion, value)
    except BadValue:
        return
    assert key_of(found) == key_of(event)


@given(st.builds(events.FieldPut, ids, fields), st.data())
def test_a_value_cut_short_never_passes_for_another_place(
    event: events.FieldPut, data: st.DataObject
) -> None:
    whole = encoded(event)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    deletion = events.FieldDeleted(event.collection_id, event.field.id)
    try:
        found = values.decode(deletion, cut)
    except BadValue:
        return
    assert isinstance(found, events.FieldPut)
    assert (found.field.id, found.field.name) == (event.field.id, event.field.name)


@pytest.mark.parametrize(
    ("key", "deletion"),
    [
        ("root-coord/collection/7", events.CollectionDeleted(0, 7)),
        ("root-coord/aliases/a", events.AliasDeleted(1, "a", events.AliasHome.OLD)),
        ("root-coord/collection-alias/a", events.AliasDeleted(1, "a", events.AliasHome.OLDEST)),
        ("root-coord/database/collection-info/3/7", events.CollectionDeleted(3, 7)),
        ("root-coord/ha/mark", None),
        ("root-coord/fields/7", None),
        ("root-coord/database/nonsense/1", None),
    ],
)
def test_key_events(key: str, deletion: object) -> None:
    assert keys.key_event(key) == deletion


@pytest.mark.parametrize("key", ["root-coord/fields/7/x", "root-coord/database/db-info/"])
def test_keys_without_their_numbers(key: str) -> None:
    with pytest.raises(BadValue, match="no key that Milvus writes"):
        keys.key_event(key)


def test_the_layout_of_before_21() -> None:
    message: Any = message_class("milvus.proto.etcd.CollectionInfo")(
        ID=7,
        create_time=5,
        partitionIDs=[9, 8],
        partitionNames=["p9", "_default"],
        partition_created_timestamps=[6, 5],
    )
    message.schema.name = "old"
    message.schema.fields.add(fieldID=100, name="id", data_type=INT64, is_primary_key=True)
    found = values.decode(events.CollectionDeleted(0, 7), message.SerializeToString())
    assert isinstance(found, events.CollectionPut)
    assert found.collection.fields == (Field(100, "id", INT64, is_primary_key=True),)
    assert [(p.id, p.name, p.created_at) for p in found.partitions] == [
        (8, "_default", 5),
        (9, "p9", 6),
    ]
    del message.partitionIDs[:]
    half = values.decode(events.CollectionDeleted(0, 7), message.SerializeToString())
    assert isinstance(half, events.CollectionPut)
    assert half.collection.fields == (), "with fields alone it is no old record to Go either"


def test_equal_fields_are_one_object() -> None:
    value = values.encode_field(Field(100, "id", INT64))
    one = values.decode(events.FieldDeleted(1, 100), value)
    other = values.decode(events.FieldDeleted(2, 100), bytes(bytearray(value)))
    assert isinstance(one, events.FieldPut)
    assert isinstance(other, events.FieldPut)
    assert one.field is other.field
