"""Replies about collections and partitions: large ones, so they are built with upb."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, cast

from milvus_coord.model.collection import Collection, Partition
from milvus_coord.model.timestamps import physical_ms
from milvus_coord.pb.milvus.proto.milvus import (
    BoolResponse,
    DescribeCollectionResponse,
    ShowCollectionsResponse,
    ShowPartitionsResponse,
)
from milvus_coord.wire.codec import Encoded, encoded
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.schema import fill_pairs, fill_schema

_PACKAGE: Final = "milvus.proto.milvus"


def describe_collection(
    collection: Collection, *, aliases: Sequence[str], num_partitions: int, db_name: str
) -> DescribeCollectionResponse:
    """The reply to DescribeCollection: the real name, the system fields too.

    `db_name` is what the request said, also when that was nothing: Go 2.2.16 does not look it up.
    """
    common = describe_any_database(collection, aliases=aliases, num_partitions=num_partitions)
    return in_database(common, db_name)


def describe_any_database(
    collection: Collection, *, aliases: Sequence[str], num_partitions: int
) -> DescribeCollectionResponse:
    """All of the reply but its `db_name`; see `in_database`."""
    reply: Any = message_class(f"{_PACKAGE}.DescribeCollectionResponse")()
    reply.schema.SetInParent()
    fill_schema(reply.schema, collection)
    reply.collectionID = collection.id
    reply.virtual_channel_names.extend(collection.virtual_channels)
    reply.physical_channel_names.extend(collection.physical_channels)
    reply.created_timestamp = collection.created_at
    reply.created_utc_timestamp = physical_ms(collection.created_at)
    # Go: records of before 2.1 hold no number of shards.
    reply.shards_num = collection.shards or len(collection.virtual_channels)
    reply.aliases.extend(aliases)
    for start in collection.start_positions:
        reply.start_positions.add(key=start.channel, data=start.position)
    reply.consistency_level = collection.consistency_level
    reply.collection_name = collection.name
    fill_pairs(reply.properties, collection.properties)
    reply.num_partitions = num_partitions
    return encoded(reply, DescribeCollectionResponse)


def in_database(reply: DescribeCollectionResponse, db_name: str) -> DescribeCollectionResponse:
    """`reply`, made by `describe_any_database`, with the `db_name` that the request said.

    Protobuf merges what is sent one after the other.
    """
    said: Any = message_class(f"{_PACKAGE}.DescribeCollectionResponse")(db_name=db_name)
    return cast(DescribeCollectionResponse, Encoded(cast(bytes, reply) + said.SerializeToString()))


def show_collections(collections: Iterable[Collection]) -> ShowCollectionsResponse:
    """The reply to ShowCollections: lists of equal length, as the proxy demands."""
    shown = list(collections)
    reply: Any = message_class(f"{_PACKAGE}.ShowCollectionsResponse")()
    reply.collection_names.extend([each.name for each in shown])
    reply.collection_ids.extend([each.id for each in shown])
    reply.created_timestamps.extend([each.created_at for each in shown])
    reply.created_utc_timestamps.extend([physical_ms(each.created_at) for each in shown])
    return encoded(reply, ShowCollectionsResponse)


def show_partitions(partitions: Iterable[Partition]) -> ShowPartitionsResponse:
    """The reply to ShowPartitions: lists of equal length, as the proxy demands."""
    shown = list(partitions)
    reply: Any = message_class(f"{_PACKAGE}.ShowPartitionsResponse")()
    reply.partition_names.extend([each.name for each in shown])
    reply.partitionIDs.extend([each.id for each in shown])
    reply.created_timestamps.extend([each.created_at for each in shown])
    reply.created_utc_timestamps.extend([physical_ms(each.created_at) for each in shown])
    return encoded(reply, ShowPartitionsResponse)


@cache
def exists(found: bool) -> BoolResponse:
    """The reply to HasCollection and HasPartition."""
    reply: Any = message_class(f"{_PACKAGE}.BoolResponse")(value=found)
    return encoded(reply, BoolResponse)
