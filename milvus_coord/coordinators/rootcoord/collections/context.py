"""The request of CreateCollection, and the parts of a term that DDL statements use."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.allocator.sources import Ids
from milvus_coord.coordinators.rootcoord.access.object_grants import ObjectGrants
from milvus_coord.coordinators.rootcoord.collections.channels import DmlChannels
from milvus_coord.coordinators.rootcoord.collections.cleanup import Cleanup
from milvus_coord.coordinators.rootcoord.collections.effects import DdlEffects
from milvus_coord.coordinators.rootcoord.collections.locks import DdlLocks
from milvus_coord.coordinators.rootcoord.collections.rules_limits import DdlLimits, PendingCreates
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.model.schema import CollectionSchema, Pairs
from milvus_coord.runtime.clock import Clock


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


@dataclass(frozen=True, slots=True)
class DdlContext:
    """The parts of one term that DDL statements use; they last as long as the term."""

    store: Store
    locks: DdlLocks
    channels: DmlChannels
    ticks: Ticks
    ids: Ids
    effects: DdlEffects
    cleanup: Cleanup
    limits: DdlLimits
    pending: PendingCreates
    grants: ObjectGrants
    clock: Clock
