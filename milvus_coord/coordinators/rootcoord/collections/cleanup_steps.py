"""The single steps of cleaning up, each tried once at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from milvus_coord.coordinators.rootcoord.collections import queue_messages as messages
from milvus_coord.coordinators.rootcoord.collections.channels import DmlChannels
from milvus_coord.coordinators.rootcoord.collections.effects import ALL_PARTITIONS, DdlEffects
from milvus_coord.coordinators.rootcoord.collections.locks import DdlLocks
from milvus_coord.coordinators.rootcoord.collections.rules_cleanup import (
    Plan,
    Step,
    plan_for,
)
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.model.collection import Collection, CollectionState, Partition
from milvus_coord.model.errors import CoordError, FencedOff
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.telemetry.log import log

_TICKS_FIRST_S: Final = 0.1
_TICKS_CAP_S: Final = 5.0
"""Pauses between looks whether ticks have passed a message; they come each 0.2 s."""


@dataclass(frozen=True, slots=True)
class CleanupTimes:
    """Seconds. Go 2.2.16 asks datacoord 20 minutes after the drop, then every 20 minutes."""

    gc_first_s: float = 1200.0
    gc_every_s: float = 1200.0
    retry_first_s: float = 0.5
    retry_cap_s: float = 30.0


@dataclass(slots=True)
class Target:
    """A collection that is being deleted or, with `partition`, one of its partitions.

    `at` is the step of `plan` that is next, `tries` how often it was tried. `began_s` is when the
    cleanup began. `tombstones_at` is None for a fresh timestamp. `announced_at` is the timestamp of
    the drop message, None before it.
    """

    collection: Collection
    plan: Plan
    began_s: float
    tombstones_at: Timestamp | None = None
    partition: Partition | None = None
    announced_at: Timestamp | None = None
    at: int = 0
    tries: int = 0

    @property
    def step(self) -> Step | None:
        """What is to be done next; None when all is done."""
        return self.plan.steps[self.at] if self.at < len(self.plan.steps) else None

    @property
    def id(self) -> int:
        """Of the partition or the collection: ids of both come from one allocator."""
        return self.partition.id if self.partition is not None else self.collection.id

    @property
    def creating(self) -> bool:
        """Whether it is a collection that was never completed."""
        return self.collection.state is CollectionState.CREATING

    @property
    def title(self) -> str:
        """For log lines: "collection 7"."""
        if self.partition is not None:
            return f"partition {self.partition.id}"
        return f"collection {self.collection.id}"


class CleanupSteps:
    """Tries the steps of plans. A step returns the seconds after which it is to be done again.

    None when it is done. Every step may raise CoordError, and then is tried again.
    """

    def __init__(
        self,
        *,
        store: Store,
        locks: DdlLocks,
        channels: DmlChannels,
        effects: DdlEffects,
        ticks: Ticks,
        clock: Clock,
        times: CleanupTimes,
    ) -> None:
        self._store, self._locks, self._channels = store, locks, channels
        self._effects, self._ticks, self._clock, self._times = effects, ticks, clock, times
        self._do: dict[Step, Callable[[Target], Awaitable[float | None]]] = {
            Step.SETTLE: self._settle,
            Step.RELEASE: self._release,
            Step.DROP_INDEX: self._drop_index,
            Step.ANNOUNCE: self._announce,
            Step.RELEASE_CHANNELS: self._release_channels,
            Step.AWAIT_GC: self._await_gc,
            Step.WRITE_TOMBSTONES: self._write_tombstones,
        }

    async def attempt(self, step: Step, target: Target) -> float | None:
        """Try a step once."""
        return await self._do[step](target)

    def in_vain(self, target: Target) -> bool:
        """Whether nothing is left to do for a partition, since its collection is dropped: that
        takes all with it.
        """
        if target.partition is None or target.step is Step.SETTLE:
            return False
        return self._dropping(target.partition) is None

    async def _settle(self, target: Target) -> None:
        """Go on when the metadata shows what became of all writes that were sent before."""
        await self._store.settle()
        if target.partition is None:
            found = self._store.state.collection(target.collection.id)
            target.collection, target.plan = found or target.collection, plan_for(found)
            target.at = -1  # the step that is done
            target.tombstones_at = target.collection.created_at if target.creating else None
        target.began_s = self._clock.boottime()

    async def _release(self, target: Target) -> None:
        await self._effects.release(target.collection.id)

    async def _drop_index(self, target: Target) -> None:
        partition_ids = (target.partition.id,) if target.partition else ()
        await self._effects.drop_index(target.collection.id, partition_ids)

    async def _announce(self, target: Target) -> None:
        collection, partition = target.collection, target.partition
        channels, source = collection.physical_channels, self._effects.server_id
        name = "" if target.creating else collection.name
        async with self._ticks.stamp(channels) as ts:
            if partition is not None:
                payload = messages.drop_partition(partition, ts, source)
            else:
                payload = messages.drop_collection(collection.id, name, ts, source)
            await self._effects.send(channels, payload)
        target.announced_at = ts

    async def _release_channels(self, target: Target) -> float | None:
        channels, ts = target.collection.physical_channels, target.announced_at
        if ts is not None and any(self._ticks.produced(channel) < ts for channel in channels):
            return min(_TICKS_CAP_S, _TICKS_FIRST_S * 2.0 ** min(target.tries, 10))
        self._channels.release(channels)
        return None

    async def _await_gc(self, target: Target) -> float | None:
        left_s = target.began_s + self._times.gc_first_s - self._clock.boottime()
        if left_s > 0:
            return left_s
        if not await self._is_collected(target):
            return self._times.gc_every_s
        if target.partition is None:
            await failpoint("ddl_cleanup_half")
        return None

    async def _is_collected(self, target: Target) -> bool:
        id_ = target.collection.id
        partition_id = target.partition.id if target.partition else ALL_PARTITIONS
        try:
            return await self._effects.gc_finished(id_, partition_id)
        except FencedOff:
            raise
        except CoordError as error:  # Go too asks at the next turn only
            log.warn("cannot ask for garbage", collection=id_, error=str(error))
            return False

    async def _write_tombstones(self, target: Target) -> None:
        if target.partition is not None:
            await self._delete_partition(target.partition, target.tombstones_at)
            return
        while not await self._delete_collection(target.collection.id, target.tombstones_at):
            pass  # another alias has come to light, which was not locked

    async def _delete_collection(self, collection_id: int, ts: Timestamp | None) -> bool:
        """Tombstones for the collection and its aliases; False when some were not locked."""
        aliases = self._aliases(collection_id)
        async with self._locks.names(*aliases), self._locks.collection(collection_id):
            if not set(self._aliases(collection_id)) <= set(aliases):
                return False
            state = self._store.state
            collection = state.collection(collection_id)
            if collection is None:
                return True
            tombstones = self._store.catalog.drop_collection(
                collection,
                state.partitions(collection_id),
                state.aliases_of(collection_id),
                await self._store.now() if ts is None else ts,
            )
            await self._store.write(
                tombstones, applied=lambda state: state.collection(collection_id) is None
            )
            return True

    async def _delete_partition(self, partition: Partition, ts: Timestamp | None) -> None:
        async with self._locks.collection(partition.collection_id):
            if self._dropping(partition) is None:
                return
            tombstone = self._store.catalog.drop_partition(
                partition, await self._store.now() if ts is None else ts
            )
            await self._store.write(tombstone, applied=lambda _: self._dropping(partition) is None)

    def _aliases(self, collection_id: int) -> tuple[tuple[str, str], ...]:
        state = self._store.state
        collection = state.collection(collection_id)
        database = state.database_of(collection.db_id) if collection else None
        if database is None:  # nobody can touch them
            return ()
        return tuple((database.name, alias) for alias in state.aliases_of(collection_id))

    def _dropping(self, partition: Partition) -> Partition | None:
        """The partition, if it is being dropped and its collection is not."""
        state = self._store.state
        collection = state.collection(partition.collection_id)
        if collection is None or not collection.available:
            return None
        for found in state.partitions(partition.collection_id):
            if found.id == partition.id and not found.available:
                return found
        return None
