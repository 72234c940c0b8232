"""The single steps of cleaning up: each is repeated until it succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from milvus_coord.coordinators.rootcoord.collections import queue_messages as messages
from milvus_coord.coordinators.rootcoord.collections.channels import DmlChannels
from milvus_coord.coordinators.rootcoord.collections.effects import ALL_PARTITIONS, DdlEffects
from milvus_coord.coordinators.rootcoord.collections.locks import DdlLocks
from milvus_coord.coordinators.rootcoord.collections.rules_cleanup import Plan, Step
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.model.collection import Collection, CollectionState, Partition
from milvus_coord.model.errors import CoordError, FencedOff
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log

T = TypeVar("T")

AT_ONCE_MAX: Final = 16
"""The most jobs that call the same part at a time: thousands may be resumed at once."""


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

    `began_s` is when its cleanup began. `tombstones_at` is None for a fresh timestamp.
    `announced_at` is the timestamp of the drop message, None before it.
    """

    collection: Collection
    began_s: float
    tombstones_at: Timestamp | None = None
    partition: Partition | None = None
    announced_at: Timestamp | None = None

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
    """Does the steps of plans. Every method raises FencedOff and nothing else."""

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
        self._at_once: dict[str, asyncio.Semaphore] = {}
        self._do: dict[Step, Callable[[Target], Awaitable[None]]] = {
            Step.RELEASE: self._release,
            Step.DROP_INDEX: self._drop_index,
            Step.ANNOUNCE: self._announce,
            Step.RELEASE_CHANNELS: self._release_channels,
            Step.AWAIT_GC: self._await_gc,
            Step.WRITE_TOMBSTONES: self._write_tombstones,
        }

    async def run(self, plan: Plan, target: Target) -> None:
        """Do the steps in order.

        Those of a partition end when its collection is dropped meanwhile: that takes all with it.
        """
        partition, collection = target.partition, target.collection
        for step in plan.steps:
            if partition is not None and self._dropping(partition) is None:
                return
            await self._do[step](target)
        if not plan.done:
            return
        if partition is not None:
            log.info(plan.done, partition=partition.name, id=partition.id)
        else:
            log.info(plan.done, collection=collection.name, id=collection.id)

    async def settle(self, object_id: int) -> None:
        """Return when the metadata shows what became of all writes that were sent before."""
        await self._retry_until_done(f"learn the state of {object_id}", "etcd", self._store.settle)

    async def _release(self, target: Target) -> None:
        id_ = target.collection.id
        await self._retry_until_done(
            f"release collection {id_}", "querycoord", lambda: self._effects.release(id_)
        )

    async def _drop_index(self, target: Target) -> None:
        id_ = target.collection.id
        partition_ids = (target.partition.id,) if target.partition else ()
        await self._retry_until_done(
            f"drop the index of collection {id_}",
            "indexcoord",
            lambda: self._effects.drop_index(id_, partition_ids),
        )

    async def _announce(self, target: Target) -> None:
        collection, partition = target.collection, target.partition
        channels, source = collection.physical_channels, self._effects.server_id
        name = "" if target.creating else collection.name

        async def attempt() -> Timestamp:
            async with self._ticks.stamp(channels) as ts:
                if partition is not None:
                    payload = messages.drop_partition(partition, ts, source)
                else:
                    payload = messages.drop_collection(collection.id, name, ts, source)
                await self._effects.send(channels, payload)
            return ts

        verb = "take back" if target.creating else "announce the drop of"
        target.announced_at = await self._retry_until_done(
            f"{verb} {target.title}", "queue", attempt
        )

    async def _release_channels(self, target: Target) -> None:
        channels = target.collection.physical_channels
        if target.announced_at is not None:
            for channel in channels:
                await self._ticks.reached(channel, target.announced_at)
        self._channels.release(channels)

    async def _await_gc(self, target: Target) -> None:
        first_s = target.began_s + self._times.gc_first_s
        await self._clock.sleep(first_s - self._clock.boottime())
        while not await self._is_collected(target):
            await self._clock.sleep(self._times.gc_every_s)
        if target.partition is None:
            await failpoint("ddl_cleanup_half")

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
        async def attempt() -> None:
            if target.partition is not None:
                await self._delete_partition(target.partition, target.tombstones_at)
                return
            while not await self._delete_collection(target.collection.id, target.tombstones_at):
                pass  # another alias has come to light, which was not locked

        await self._retry_until_done(f"delete {target.title}", "etcd", attempt)

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

    async def _retry_until_done(
        self, purpose: str, whom: str, attempt: Callable[[], Awaitable[T]]
    ) -> T:
        """Return what `attempt` returns at last; a growing pause between tries.

        `purpose` is what could not be done, for the log line; `whom` is the part that is asked.
        """
        times = self._times
        retry = Retry(
            self._clock,
            purpose,
            on=(CoordError,),
            first_s=times.retry_first_s,
            cap_s=times.retry_cap_s,
        )
        at_once = self._at_once.setdefault(whom, asyncio.Semaphore(AT_ONCE_MAX))

        async def attempt_once() -> T:
            async with at_once:
                try:
                    return await attempt()
                except CoordError:
                    raise
                except Exception as error:  # one broken object must not end the term, and the next
                    log.error("cleaning up broke", what=purpose, error=error)
                    raise CoordError(f"{type(error).__name__}: {error}") from error

        return await retry.run(attempt_once)
