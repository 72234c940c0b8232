"""What the queue is told of collections and partitions, byte for byte as Go 2.2.16 writes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from milvus_coord.model.collection import Collection, Partition
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.schema import encode_schema

CREATE_COLLECTION: Final = 100
DROP_COLLECTION: Final = 101
DROP_PARTITION: Final = 201


def create_collection(collection: Collection, partition_ids: Iterable[int], ts: Timestamp) -> bytes:
    """`internal.CreateCollectionRequest`; its base has no source id, the schema is complete."""
    message = _new("CreateCollectionRequest", CREATE_COLLECTION, ts)
    message.collectionID = collection.id
    message.schema = encode_schema(collection)
    message.virtualChannelNames.extend(collection.virtual_channels)
    message.physicalChannelNames.extend(collection.physical_channels)
    message.partitionIDs.extend(partition_ids)
    return _bytes(message)


def drop_collection(collection_id: int, name: str, ts: Timestamp, source_id: int) -> bytes:
    """`internal.DropCollectionRequest`."""
    message = _new("DropCollectionRequest", DROP_COLLECTION, ts, source_id)
    message.collectionName, message.collectionID = name, collection_id
    return _bytes(message)


def drop_partition(partition: Partition, ts: Timestamp, source_id: int) -> bytes:
    """`internal.DropPartitionRequest`."""
    message = _new("DropPartitionRequest", DROP_PARTITION, ts, source_id)
    message.partition_name, message.partitionID = partition.name, partition.id
    message.collectionID = partition.collection_id
    return _bytes(message)


def _new(name: str, msg_type: int, ts: Timestamp, source_id: int = 0) -> Any:
    # The fields of upb's classes are known at run time alone.
    message: Any = message_class(f"milvus.proto.internal.{name}")()
    message.base.msg_type = msg_type
    message.base.timestamp, message.base.sourceID = ts, source_id
    return message


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
