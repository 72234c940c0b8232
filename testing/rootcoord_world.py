"""A RootCoord term in memory: real metadata over the etcd twin, everybody outside faked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.object_grants import ObjectGrants
from milvus_coord.coordinators.rootcoord.collections.cleanup_steps import CleanupTimes
from milvus_coord.coordinators.rootcoord.collections.context import NewCollection
from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.collections.effects import DdlEffects, Deadlines
from milvus_coord.coordinators.rootcoord.collections.rules_limits import DdlLimits
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage, mirrored
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.model.collection import Collection
from milvus_coord.model.database import DEFAULT_DATABASE, DEFAULT_DATABASE_ID, Database
from milvus_coord.model.schema import FLOAT_VECTOR, INT64, CollectionSchema, Field, Pairs
from milvus_coord.model.timestamps import Timestamp
from testing.limits import DDL_LIMITS
from testing.metadata import META_ROOT
from testing.role_world import Faults, RoleWorld

DML: Final = "by-dev-rootcoord-dml"
SERVER_ID: Final = 7
FIELDS: Final = (
    Field(0, "id", INT64, is_primary_key=True),
    Field(0, "v", FLOAT_VECTOR, type_params=(("dim", "8"),)),
)


class Numbers:
    """Ids and timestamps that only grow, over all terms."""

    def __init__(self, first: int) -> None:
        self._next = first

    @property
    def last(self) -> int:
        return self._next - 1

    async def take(self, count: int) -> int:
        await asyncio.sleep(0)
        first = self._next
        self._next += count
        return first


class FakeTimestamps(Numbers):
    async def take(self, count: int) -> Timestamp:
        return Timestamp(await super().take(count))


class FakeTicks:
    """Counts uses; a tick reaches any timestamp at once while `flowing`."""

    def __init__(self, timestamps: FakeTimestamps, faults: Faults) -> None:
        self._timestamps, self._faults = timestamps, faults
        self.used: Counter[str] = Counter()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.held: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def stamp(self, channels: Iterable[str]) -> AsyncIterator[Timestamp]:
        held = tuple(channels)
        assert all(self.used[channel] for channel in held), "held, but not in use"
        self.held.append(held)
        try:
            yield await self._timestamps.take(1)
        finally:
            self.held.remove(held)

    def produced(self, channel: str) -> Timestamp:
        assert self.used[channel], f"{channel} gets no ticks"
        self._faults.story.append(f"ticked {channel}")
        waits = self._faults.hangs("ticked") or not self.flowing.is_set()
        return Timestamp(0 if waits else 2**63)

    def use(self, channels: Iterable[str]) -> None:
        self.used.update(channels)

    def release(self, channels: Iterable[str]) -> None:
        self.used.subtract(tuple(channels))
        assert min(self.used.values(), default=0) >= 0, "released more than used"


class FakeOutside:
    """The queue, the proxies and the other coordinators in one, as a list of what was asked."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.sent: list[tuple[str, bytes]] = []
        self.altered: list[Pairs] = []
        self.watched: list[Collection] = []
        self.gc_finished = True
        self.policies: list[tuple[int, str]] = []

    def refresh_policy_later(self, op_type: int, op_key: str) -> None:
        self.policies.append((int(op_type), op_key))

    async def send(self, channel: str, payload: bytes) -> bytes:
        await self._faults.step("send", channel)
        self.sent.append((channel, payload))
        return len(self.sent).to_bytes(8, "little")

    async def invalidate_collection(
        self,
        db_name: str,
        *,
        collection_id: int = 0,
        names: Sequence[str] = (),
        ts: Timestamp,
        dropped: bool = False,
    ) -> None:
        whom = ",".join(names) or str(collection_id)
        await self._faults.step("proxies", f"{db_name} {whom}{' dropped' if dropped else ''}")

    async def watch_channels(self, collection: Collection) -> None:
        await self._faults.step("watch", collection.name)
        self.watched.append(collection)

    async def broadcast_altered(
        self, collection: Collection, partition_ids: Sequence[int], properties: Pairs
    ) -> None:
        await self._faults.step("altered", collection.name)
        self.altered.append(properties)

    async def gc_confirm(self, collection_id: int, partition_id: int = -1) -> bool:
        await self._faults.step("gc", "all" if partition_id == -1 else "partition")
        return self.gc_finished

    async def release_collection(self, collection_id: int, node_id: int) -> None:
        await self._faults.step("release", str(node_id))

    async def drop_index(self, collection_id: int, partition_ids: Sequence[int] = ()) -> None:
        await self._faults.step("index", "partition" if partition_ids else "all")


@dataclass
class Term:
    """One leadership over `world`'s etcd."""

    world: World
    tasks: asyncio.TaskGroup
    metadata: Store
    ticks: FakeTicks
    ddl: Ddl

    @property
    def state(self) -> MetaState:
        return self.metadata.state

    def collection(self, name: str, db_name: str = "") -> Collection:
        return self.state.resolve(db_name, name)

    def consistent(self) -> list[str]:
        """What contradicts itself when nothing is going on."""
        wrong = self.state.check()
        if self.ddl.locks.held:
            wrong.append(f"{self.ddl.locks.held} locks are held")
        if self.ddl.jobs.running:
            wrong.append(f"{self.ddl.jobs.running} statements are in flight")
        if +self.ticks.used != self.ddl.channels.references:
            wrong.append(f"ticks count {self.ticks.used}, we {self.ddl.channels.references}")
        if not self.ddl.cleanup.running and +self.ticks.used != self.state.channels_in_use():
            wrong.append(f"used: {self.ticks.used}, stored: {self.state.channels_in_use()}")
        return wrong


class World(RoleWorld[MetaImage]):
    """A RootCoord's, and the others with the trouble that they make."""

    def __init__(
        self,
        limits: DdlLimits = DDL_LIMITS,
        deadlines: Deadlines | None = None,
        times: CleanupTimes | None = None,
        jobs_max: int = 10240,
    ) -> None:
        super().__init__(mirrored(META_ROOT))
        self.limits, self.jobs_max = limits, jobs_max
        self.deadlines, self.times = deadlines or Deadlines(), times or CleanupTimes()
        self.effects = FakeOutside(self.faults)
        self.ids, self.timestamps = Numbers(1000), FakeTimestamps(5000)
        self.catalog, self.access_catalog = Catalog(META_ROOT), AccessCatalog(META_ROOT)

    @asynccontextmanager
    async def term(self, *, adopt: bool = True) -> AsyncIterator[Term]:
        """A new leadership, which ends the one before; all its tasks end with the block."""
        async with self.leading() as led:
            metadata = Store(
                led.mirror, led.fence, self.serve.require, self.catalog, self.timestamps
            )
            await self._default_database(metadata)
            term = self._term(led.tasks, metadata)
            if adopt:
                await term.ddl.resume_unfinished()
            yield term

    async def _default_database(self, metadata: Store) -> None:
        if metadata.state.database("") is None:
            default = Database(DEFAULT_DATABASE_ID, DEFAULT_DATABASE, self.clock.wall_ns())
            ts = await self.timestamps.take(1)
            await metadata.commit(self.catalog.put_database(default, ts))

    def _term(self, tasks: asyncio.TaskGroup, metadata: Store) -> Term:
        ticks = FakeTicks(self.timestamps, self.faults)
        others = cast(Any, self.effects)
        effects = DdlEffects(
            serve=self.serve,
            queue=self.effects,
            proxies=others,
            datacoord=others,
            querycoord=others,
            indexcoord=others,
            server_id=SERVER_ID,
            deadlines=self.deadlines,
        )
        ddl = Ddl(
            tasks,
            store=metadata,
            ids=self.ids,
            ticks=cast(Any, ticks),
            effects=effects,
            grants=ObjectGrants(metadata, self.access_catalog, others),
            limits=self.limits,
            clock=self.clock,
            cleanup_times=self.times,
            jobs_max=self.jobs_max,
        )
        return Term(self, tasks, metadata, ticks, ddl)

    async def quiet(self, term: Term) -> None:
        """Wait until the cleanup has nothing to do any more."""
        await self.until(lambda: not term.ddl.cleanup.running, step_s=60.0)

    def live(self, part: str) -> dict[str, bytes]:
        """Plain keys below `root-coord/` that contain `part`, tombstones left out."""
        kvs = self.stored("root-coord/").items()
        return {k: v for k, v in kvs if part in k and v != b"\xe2\x9b\xbc"}


def wanted(name: str, db_name: str = "", **changes: object) -> NewCollection:
    """A request for a collection with a key and a vector; changes as in `NewCollection`, or
    `fields`, `dynamic`, `schema_name` of its schema."""
    schema = CollectionSchema(
        name=str(changes.pop("schema_name", name)),
        fields=changes.pop("fields", FIELDS),  # type: ignore[arg-type] # a test's own words
        enable_dynamic_field=bool(changes.pop("dynamic", False)),
    )
    settings: dict[str, object] = {"shards": 2, "consistency_level": 1, **changes}
    return NewCollection(db_name, name, schema, **settings)  # type: ignore[arg-type] # as above
