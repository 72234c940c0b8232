"""Objects of RootCoord's metadata for tests, with as few words as possible."""

from __future__ import annotations

from typing import Any, Final

from milvus_coord.model.collection import Collection, CollectionState, Partition, StartPosition
from milvus_coord.model.schema import FLOAT_VECTOR, INT64, ROW_ID, TIMESTAMP, Field
from milvus_coord.model.timestamps import Timestamp, compose

META_ROOT: Final = "by-dev/meta"

FIELDS: Final = (
    Field(100, "id", INT64, is_primary_key=True),
    Field(101, "v", FLOAT_VECTOR, type_params=(("dim", "16"),)),
    Field(0, ROW_ID, INT64, "row id"),
    Field(1, TIMESTAMP, INT64, "time stamp"),
)


def ts(number: int) -> Timestamp:
    """Timestamps that grow with `number`, one second apart, from some day in 2023 on."""
    return compose(1_700_000_000_000 + number * 1000, 0)


def collection(collection_id: int, name: str = "", **changes: Any) -> Collection:
    """A Created collection of the default database with the four FIELDS and one shard."""
    physical = f"by-dev-rootcoord-dml_{collection_id % 16}"
    return Collection(
        **{
            "id": collection_id,
            "db_id": 1,
            "name": name or f"c{collection_id}",
            "description": "",
            "auto_id": False,
            "enable_dynamic_field": False,
            "fields": FIELDS,
            "virtual_channels": (f"{physical}_{collection_id}v0",),
            "physical_channels": (physical,),
            "shards": 1,
            "start_positions": (StartPosition(physical, bytes(8)),),
            "consistency_level": 2,
            "properties": (),
            "created_at": ts(1),
            "state": CollectionState.CREATED,
            **changes,
        }
    )


def partition(collection_id: int, partition_id: int, name: str = "", **changes: Any) -> Partition:
    """A Created partition."""
    return Partition(
        **{
            "id": partition_id,
            "name": name or f"p{partition_id}",
            "collection_id": collection_id,
            "created_at": ts(1),
            **changes,
        }
    )
