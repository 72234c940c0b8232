"""Collections and partitions, as etcd keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from milvus_coord.model.schema import Field, Pairs
from milvus_coord.model.timestamps import Timestamp


class CollectionState(IntEnum):
    """Numbers of `milvus.proto.etcd.CollectionState`; CREATED is what an unset field means."""

    CREATED = 0
    CREATING = 1
    DROPPING = 2
    DROPPED = 3


class PartitionState(IntEnum):
    """Numbers of `milvus.proto.etcd.PartitionState`."""

    CREATED = 0
    CREATING = 1
    DROPPING = 2
    DROPPED = 3


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; `created_at` is the timestamp of the statement that made it."""

    id: int
    name: str
    collection_id: int
    created_at: Timestamp
    state: PartitionState = PartitionState.CREATED

    @property
    def available(self) -> bool:
        """Whether users see it."""
        return self.state is PartitionState.CREATED


@dataclass(frozen=True, slots=True)
class StartPosition:
    """Where reading a physical channel begins: `position` is the queue's own message id."""

    channel: str
    position: bytes


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection without its partitions, which change on their own.

    `fields` hold the system fields too. `db_id` 0 is a collection of before databases, kept under
    the old key. `consistency_level` is a number of `milvus.proto.common.ConsistencyLevel`.
    """

    id: int
    db_id: int
    name: str
    description: str
    auto_id: bool
    enable_dynamic_field: bool
    fields: tuple[Field, ...]
    virtual_channels: tuple[str, ...]
    physical_channels: tuple[str, ...]
    shards: int
    start_positions: tuple[StartPosition, ...]
    consistency_level: int
    properties: Pairs
    created_at: Timestamp
    state: CollectionState = CollectionState.CREATED

    @property
    def available(self) -> bool:
        """Whether users see it."""
        return self.state is CollectionState.CREATED
