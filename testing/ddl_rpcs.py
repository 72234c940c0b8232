"""The RPCs about databases, collections, partitions and aliases over metadata made of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.collections.context import NewCollection
from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.collections.rpcs import (
    AliasRpcs,
    CollectionRpcs,
    DatabaseRpcs,
    PartitionRpcs,
)
from milvus_coord.coordinators.rootcoord.metadata import events
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.metadata.time_travel import CollectionAt, TimeTravel
from milvus_coord.coordinators.rootcoord.rpcs import contract
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.collection import (
    Collection,
    CollectionState,
    Partition,
    PartitionState,
    StartPosition,
)
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.errors import CollectionNotFound
from milvus_coord.model.schema import FLOAT_VECTOR, INT64, Field, Pairs
from milvus_coord.model.states import Phase
from milvus_coord.model.timestamps import Timestamp, compose
from milvus_coord.role.rpcs.family import Answering, RpcFamily
from milvus_coord.runtime.clock import ManualClock
from testing.direct_calls import DirectCalls

LEASE_S = 5.0
CREATED = compose(1_795_000_000_000, 7)

FIELDS = (
    Field(id=100, name="id", data_type=INT64, is_primary_key=True, auto_id=True),
    Field(
        id=101,
        name="v",
        data_type=FLOAT_VECTOR,
        description="the vector",
        type_params=(("dim", "16"),),
        index_params=(("metric_type", "L2"), ("index_type", "FLAT")),
    ),
    Field(id=0, name="RowID", data_type=INT64, description="row id"),
    Field(id=1, name="Timestamp", data_type=INT64, description="time stamp"),
)


def collection(
    id_: int,
    name: str,
    *,
    db_id: int = 1,
    state: CollectionState = CollectionState.CREATED,
    properties: Pairs = (("collection.ttl.seconds", "60"),),
    shards: int = 2,
    fields: tuple[Field, ...] = (),
) -> Collection:
    """A collection of two shards; `fields` are for those of the old layout."""
    channels = ("by-dev-rootcoord-dml_0", "by-dev-rootcoord-dml_1")
    return Collection(
        id=id_,
        db_id=db_id,
        name=name,
        description=f"about {name}",
        auto_id=True,
        enable_dynamic_field=True,
        fields=fields,
        virtual_channels=tuple(f"{each}_{id_}v{i}" for i, each in enumerate(channels)),
        physical_channels=channels,
        shards=shards,
        start_positions=tuple(StartPosition(each, b"\x00\xff\x01") for each in channels),
        consistency_level=2,
        properties=properties,
        created_at=CREATED,
        state=state,
    )


@dataclass
class FakeStatements:
    """Writes down what it is asked; raises `failure` instead when there is one."""

    failure: Exception | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def create_collection(self, wanted: NewCollection) -> None:
        self._do("create_collection", wanted)

    async def drop_collection(self, db_name: str, name: str) -> None:
        self._do("drop_collection", db_name, name)

    async def alter_collection(self, db_name: str, name: str, properties: Pairs) -> None:
        self._do("alter_collection", db_name, name, properties)

    async def rename_collection(self, db_name: str, old: str, new_db_name: str, new: str) -> None:
        self._do("rename_collection", db_name, old, new_db_name, new)

    async def create_partition(
        self, db_name: str, collection_name: str, partition_name: str
    ) -> None:
        self._do("create_partition", db_name, collection_name, partition_name)

    async def drop_partition(self, db_name: str, collection_name: str, partition_name: str) -> None:
        self._do("drop_partition", db_name, collection_name, partition_name)

    async def create_alias(self, db_name: str, collection_name: str, alias: str) -> None:
        self._do("create_alias", db_name, collection_name, alias)

    async def alter_alias(self, db_name: str, collection_name: str, alias: str) -> None:
        self._do("alter_alias", db_name, collection_name, alias)

    async def drop_alias(self, db_name: str, alias: str) -> None:
        self._do("drop_alias", db_name, alias)

    async def create_database(self, name: str) -> None:
        self._do("create_database", name)

    async def drop_database(self, name: str) -> None:
        self._do("drop_database", name)

    def _do(self, *what: object) -> None:
        if self.failure is not None:
            raise self.failure
        self.asked.append(what)


@dataclass
class FakeHistory:
    """Knows one earlier state of one collection, from `since` on."""

    was: Collection
    partitions: tuple[Partition, ...]
    since: Timestamp
    failure: Exception | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def collection_named(self, db_name: str, name: str, ts: Timestamp) -> CollectionAt:
        return self._find(ts, name == self.was.name, "named", db_name, name)

    async def collection_by_id(
        self, db_name: str, collection_id: int, ts: Timestamp, *, any_state: bool = False
    ) -> CollectionAt:
        matches = collection_id == self.was.id
        return self._find(ts, matches, "by_id", db_name, collection_id, any_state)

    async def collections_at(self, db_name: str, ts: Timestamp) -> Sequence[Collection]:
        self._find(self.since, True, "at", db_name, ts)
        return [self.was] if ts >= self.since else []

    def _find(self, ts: Timestamp, matches: bool, *what: object) -> CollectionAt:
        self.asked.append(what)
        if self.failure is not None:
            raise self.failure
        if not matches or ts < self.since:
            raise CollectionNotFound(f"can't find collection 1:x, at timestamp = {ts}")
        return CollectionAt(self.was, self.partitions)


class DdlBench(DirectCalls):
    """Two databases, three collections, and those who ask for them.

    `library` has id 2. `books` (10, alias `tomes`) has four partitions of which one is going,
    `papers` (11, alias `essays`) is being dropped, `maps` (12) is the library's.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.lifecycle = Lifecycle(self.clock)
        self.lifecycle.server_id = 3
        for phase in (Phase.STANDBY, Phase.ACTIVATING, Phase.ACTIVE):
            self.lifecycle.to(phase, epoch=1)
        self.serve = ServeLease(self.clock, LEASE_S, self.clock.boottime())
        self.state = MetaState(AccessState())
        self._fill()
        self.statements = FakeStatements()
        was = collection(10, "books", properties=(("old", "yes"),), fields=FIELDS)
        self.history = FakeHistory(was, self.state.partitions(10)[:2], CREATED)
        self.answering = Answering(contract(), self.lifecycle)
        parts = (self.answering, cast(Store, self))
        statements, history = cast(Ddl, self.statements), cast(TimeTravel, self.history)
        self.families: tuple[RpcFamily, ...] = (
            CollectionRpcs(*parts, statements, history),
            PartitionRpcs(*parts, statements),
            AliasRpcs(*parts, statements),
            DatabaseRpcs(*parts, statements),
        )
        self.methods = {
            path: handler
            for family in self.families
            for path, handler in family.__mapping__().items()
        }

    @property
    def current(self) -> MetaState:
        self.serve.require()
        return self.state

    def put(self, *facts: object) -> None:
        for event in facts:
            self.state.on(event)

    def _fill(self) -> None:
        for id_, name in ((1, "default"), (2, "library")):
            self.put(events.DatabasePut(Database(id_, name, created_ns=0)))
        self.put_collection(collection(10, "books"), "_default", "old", "new", "gone")
        self.put_collection(collection(11, "papers", state=CollectionState.DROPPING), "_default")
        self.put_collection(collection(12, "maps", db_id=2), "_default")
        gone = self.state.partitions(10)[3]
        self.put(
            events.PartitionPut(Partition(gone.id, "gone", 10, CREATED, PartitionState.DROPPING)),
            events.AliasPut(Alias("tomes", 1, 10, CREATED)),
            events.AliasPut(Alias("essays", 1, 11, CREATED)),
        )

    def put_collection(self, new: Collection, *partitions: str) -> None:
        """A collection with FIELDS; its partitions have the ids 1000 times its own, and up."""
        self.put(events.CollectionPut(new))
        for each in FIELDS:
            self.put(events.FieldPut(new.id, each))
        for index, name in enumerate(partitions):
            part = Partition(new.id * 1000 + index, name, new.id, Timestamp(CREATED + index))
            self.put(events.PartitionPut(part))
