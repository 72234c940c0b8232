"""The bytes of RootCoord's messages, against examples and against protobuf."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.coordinators.rootcoord.collections import queue_messages as messages
from milvus_coord.coordinators.rootcoord.ticks.message import time_tick
from milvus_coord.model.collection import Collection, Partition
from milvus_coord.model.schema import FLOAT_VECTOR, INT64, JSON, Field
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.wire.descriptors import message_class

TS = Timestamp(470656885581152265)
LONGS = st.integers(-(2**63), 2**63 - 1)


def parsed(name: str, data: bytes) -> Any:
    return message_class(name).FromString(data)


def test_time_tick_as_go_writes_it() -> None:
    assert time_tick(TS, 1).hex() == "0a0f08b009188980a0e199fe86c4062001"


@given(st.integers(0, 2**64 - 1), LONGS)
def test_time_tick_is_what_protobuf_writes(ts: int, source: int) -> None:
    message: Any = message_class("milvus.proto.internal.TimeTickMsg")()
    message.base.msg_type = 1200
    message.base.timestamp, message.base.sourceID = ts, source
    assert time_tick(Timestamp(ts), source) == message.SerializeToString()


def test_drop_collection_as_go_writes_it() -> None:
    found = parsed(
        "milvus.proto.internal.DropCollectionRequest",
        bytes.fromhex(
            "0a0e08651881a085b0defe86c40620011a0a726366616374735f63332880cbec8ef5f486c406"
        ),
    )
    made = messages.drop_collection(
        found.collectionID, "rcfacts_c3", Timestamp(found.base.timestamp), 1
    )
    assert made == found.SerializeToString()
    assert made.hex() == (
        "0a0e08651881a085b0defe86c40620011a0a726366616374735f63332880cbec8ef5f486c406"
    )


def test_drop_partition() -> None:
    data = messages.drop_partition(Partition(8, "p", 7, Timestamp(3)), TS, 5)
    message = parsed("milvus.proto.internal.DropPartitionRequest", data)
    assert (message.base.msg_type, message.base.timestamp, message.base.sourceID) == (201, TS, 5)
    assert (message.partition_name, message.collectionID, message.partitionID) == ("p", 7, 8)
    assert {field.name for field, _ in message.ListFields()} == {
        "base",
        "partition_name",
        "collectionID",
        "partitionID",
    }


FIELDS = (
    Field(100, "id", INT64, "pk", is_primary_key=True, auto_id=True),
    Field(101, "v", FLOAT_VECTOR, type_params=(("dim", "16"),), index_params=(("a", "b"),)),
    Field(102, "key", INT64, is_partition_key=True),
    Field(103, "$meta", JSON, "dynamic schema", is_dynamic=True),
    Field(0, "RowID", INT64, "row id"),
    Field(1, "Timestamp", INT64, "time stamp"),
)


def test_create_collection_carries_the_whole_schema_and_no_source() -> None:
    collection = Collection(
        id=7,
        db_id=1,
        name="c",
        description="d",
        auto_id=True,
        enable_dynamic_field=True,
        fields=FIELDS,
        virtual_channels=("dml_0_7v0", "dml_1_7v1"),
        physical_channels=("dml_0", "dml_1"),
        shards=2,
        start_positions=(),
        consistency_level=2,
        properties=(("x", "y"),),
        created_at=TS,
    )
    data = messages.create_collection(collection, (8, 9), TS)
    message = parsed("milvus.proto.internal.CreateCollectionRequest", data)
    assert data.startswith(bytes.fromhex("0a0c0864188980a0e199fe86c406"))
    assert message.collectionID == 7
    assert list(message.virtualChannelNames) == ["dml_0_7v0", "dml_1_7v1"]
    assert list(message.physicalChannelNames) == ["dml_0", "dml_1"]
    assert list(message.partitionIDs) == [8, 9]
    assert {field.number for field, _ in message.ListFields()} == {1, 6, 8, 9, 10, 11}

    schema = parsed("milvus.proto.schema.CollectionSchema", message.schema)
    assert (schema.name, schema.description, schema.autoID) == ("c", "d", True)
    assert schema.enable_dynamic_field
    assert [field.fieldID for field in schema.fields] == [100, 101, 102, 103, 0, 1]
    assert schema.fields[0].is_primary_key
    assert schema.fields[0].autoID
    assert [(pair.key, pair.value) for pair in schema.fields[1].type_params] == [("dim", "16")]
    assert schema.fields[2].is_partition_key
    assert schema.fields[3].is_dynamic


def test_every_message_begins_with_the_base_that_consumers_look_at() -> None:
    partition = Partition(8, "p", 7, Timestamp(3))
    for data, kind in (
        (time_tick(TS, 1), 1200),
        (messages.drop_collection(7, "c", TS, 1), 101),
        (messages.drop_partition(partition, TS, 1), 201),
    ):
        header = parsed("milvus.proto.common.MsgHeader", data)
        assert (header.base.msg_type, header.base.timestamp) == (kind, TS)


@pytest.mark.parametrize("ts", [0, 1, 127, 128, 2**63, 2**64 - 1])
def test_edges_of_a_tick(ts: int) -> None:
    base = parsed("milvus.proto.internal.TimeTickMsg", time_tick(Timestamp(ts), 0)).base
    assert (base.msg_type, base.timestamp, base.sourceID) == (1200, ts, 0)
