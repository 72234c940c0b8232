"""What the services hand in to the DDL statements, in the words of the model."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.model.schema import CollectionSchema, Pairs


@dataclass(frozen=True, slots=True)
class NewCollection:
    """A CreateCollection request.

    `db_name` "" means `default`. `schema` is the user's as it came: the statement gives the fields
    their ids and adds `$meta`, RowID and Timestamp. `shards` below 1 means 1, `consistency_level`
    is a number of `milvus.proto.common.ConsistencyLevel`. `num_partitions` counts only when a
    field is the partition key.
    """

    db_name: str
    collection_name: str
    schema: CollectionSchema
    shards: int
    consistency_level: int
    properties: Pairs = ()
    num_partitions: int = 0
