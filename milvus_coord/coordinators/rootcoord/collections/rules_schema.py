"""Check the schema of a new collection, and build its fields and partitions.

All other rules (one primary key, dimensions, lengths, names) are the proxy's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from milvus_coord.model.errors import Refused
from milvus_coord.model.schema import (
    BINARY_VECTOR,
    DYNAMIC,
    FIRST_FIELD_ID,
    INT64,
    JSON,
    ROW_ID,
    TIMESTAMP,
    CollectionSchema,
    Field,
)

SYSTEM_FIELDS: Final = (
    Field(id=0, name=ROW_ID, data_type=INT64, description="row id"),
    Field(id=1, name=TIMESTAMP, data_type=INT64, description="time stamp"),
)
_DYNAMIC_FIELD: Final = Field(
    id=0, name=DYNAMIC, data_type=JSON, description="dynamic schema", is_dynamic=True
)
_RESERVED: Final = (ROW_ID, TIMESTAMP, DYNAMIC)


def check_shards(shards: int, *, dml_channel_num: int, max_shard_num: int) -> None:
    """Raises Refused when there are more than either limit."""
    if shards > dml_channel_num:
        raise Refused(f"shard num ({shards}) exceeds max configuration ({dml_channel_num})")
    if shards > max_shard_num:
        raise Refused(f"shard num ({shards}) exceeds system limit ({max_shard_num})")


def check_schema(collection_name: str, schema: CollectionSchema, *, auto_index: bool) -> None:
    """Raises Refused."""
    if schema.name != collection_name:
        raise Refused(f"collection name = {collection_name}, schema.Name={schema.name}")
    if any(field.name in _RESERVED for field in schema.fields):
        raise Refused(f"schema contains system field: {', '.join(_RESERVED)}")
    if auto_index and any(field.data_type == BINARY_VECTOR for field in schema.fields):
        raise Refused("can not speficy binary vector when enabled with AutoIndex")


def assembled(schema: CollectionSchema) -> tuple[Field, ...]:
    """The fields to store: the user's from id 100 on, `$meta` if dynamic, RowID, Timestamp."""
    users = schema.fields + ((_DYNAMIC_FIELD,) if schema.enable_dynamic_field else ())
    numbered = (replace(field, id=id_) for id_, field in enumerate(users, FIRST_FIELD_ID))
    return (*numbered, *SYSTEM_FIELDS)


def partition_names(
    collection_name: str,
    schema: CollectionSchema,
    wanted: int,
    *,
    default_name: str,
    max_partitions: int,
) -> tuple[str, ...]:
    """Names of the first partitions: `wanted` of them with a partition key, else one.

    Raises Refused.
    """
    if not any(field.is_partition_key for field in schema.fields):
        return (default_name,)
    if wanted <= 0:
        raise Refused("the specified partitions should be greater than 0 if partition key is used")
    if wanted > max_partitions:
        raise too_many_partitions(wanted, max_partitions, collection_name)
    return tuple(f"{default_name}_{index}" for index in range(wanted))


def too_many_partitions(count: int, limit: int, collection_name: str) -> Refused:
    """The refusal of a partition, or of a collection with so many."""
    return Refused(
        f"partition number ({count}) exceeds max configuration ({limit}), "
        f"collection: {collection_name}"
    )
