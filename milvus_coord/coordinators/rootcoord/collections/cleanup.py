"""Finish what DDL statements leave behind: drops, and collections that were never completed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from milvus_coord.coordinators.rootcoord.collections.channels import DmlChannels
from milvus_coord.coordinators.rootcoord.collections.cleanup_steps import (
    CleanupSteps,
    CleanupTimes,
    Ticks,
)
from milvus_coord.coordinators.rootcoord.collections.effects import DdlEffects
from milvus_coord.coordinators.rootcoord.collections.locks import DdlLocks
from milvus_coord.coordinators.rootcoord.metadata import queue_messages as messages
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.model.collection import Collection, CollectionState, Partition
from milvus_coord.model.errors import NotServing
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.tasks.jobs import Jobs
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.telemetry.log import log


class Cleanup:
    """One task of the term for each collection and partition that is to go; none ever gives up.

    A task that the term's end cuts off is begun again by `adopt_all` in the next one. Steps that
    were done are done again then: each may be repeated. FencedOff ends the term.
    """

    def __init__(
        self,
        jobs: Jobs,
        *,
        store: Store,
        locks: DdlLocks,
        channels: DmlChannels,
        effects: DdlEffects,
        ticks: Ticks,
        clock: Clock,
        times: CleanupTimes | None = None,
    ) -> None:
        self._jobs, self._store, self._locks, self._channels = jobs, store, locks, channels
        self._clock = clock
        self._steps = CleanupSteps(
            effects=effects, ticks=ticks, clock=clock, times=times or CleanupTimes()
        )
        self.running: set[str] = set()

    def adopt_all(self) -> None:
        """Take up what earlier terms left; `channels` counts the collections in any state."""
        state = self._store.state
        collections, partitions = list(state.unfinished()), list(state.dropping_partitions())
        for collection in collections:
            if collection.state is CollectionState.CREATING:
                self.half_done(collection)
            else:
                self.collection(collection)
        for partition in partitions:
            self.partition(partition)
        if collections or partitions:
            log.info(
                "taking up what was left unfinished",
                collections=len(collections),
                partitions=len(partitions),
            )

    def half_done(self, collection: Collection) -> None:
        """Some step of a statement failed: roll the collection back, or see its drop through.

        Which of them says etcd, once nothing of the statement is on its way any more. Its channels
        are counted.
        """
        self._start(f"collection.{collection.id}", self._settle_collection(collection))

    def half_dropped(self, partition: Partition) -> None:
        """Like `half_done`, for the drop of a partition."""
        self._start(f"partition.{partition.id}", self._settle_partition(partition))

    def collection(self, collection: Collection, dropped_at: Timestamp | None = None) -> None:
        """See the drop of a collection through. `dropped_at` is the timestamp of the statement.

        Without it the tombstones get a fresh timestamp, as in Go 2.2.16 after a restart.
        """
        self._start(f"collection.{collection.id}", self._drop_collection(collection, dropped_at))

    def partition(self, partition: Partition, dropped_at: Timestamp | None = None) -> None:
        """Like `collection`, for a partition."""
        self._start(f"partition.{partition.id}", self._drop_partition(partition, dropped_at))

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if name in self.running:  # a drop whose answer was lost, repeated by its user
            work.close()
            return
        try:
            task = self._jobs.start(f"cleanup.{name}", self._run(name, work))
        except NotServing:  # the next term adopts it
            work.close()
            return
        self.running.add(name)
        task.add_done_callback(lambda _: work.close())  # if cancelled before its first step

    async def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:  # with the last look at the state, so that none that comes after is missed
            self.running.discard(name)

    async def _settle_collection(self, known: Collection) -> None:
        await self._steps.surely(f"learn the state of {known.id}", "etcd", self._store.settle)
        found = self._store.state.collection(known.id)
        if found is None:
            self._channels.release(known.physical_channels)
        elif found.state is CollectionState.CREATING:
            await self._roll_back(found)
        elif found.state is CollectionState.DROPPING:
            await self._drop_collection(found, None)
        else:
            log.info("collection is whole after all", collection=found.name, id=found.id)

    async def _settle_partition(self, known: Partition) -> None:
        await self._steps.surely(f"learn the state of {known.id}", "etcd", self._store.settle)
        if (found := self._partition_to_drop(known)) is not None:
            await self._drop_partition(found, None)

    async def _roll_back(self, collection: Collection) -> None:
        """Data nodes may read the channels already: a drop message without a name stops them."""
        channels = collection.physical_channels
        ts = await self._steps.tell_readers(
            f"take back collection {collection.id}",
            channels,
            lambda ts, source: messages.drop_collection(collection.id, "", ts, source),
        )
        await self._steps.ticked(channels, ts)
        self._channels.release(channels)
        await self._bury(collection.id, collection.created_at)
        log.info("collection rolled back", collection=collection.name, id=collection.id)

    async def _drop_collection(self, collection: Collection, dropped_at: Timestamp | None) -> None:
        began_s = self._clock.boottime()
        id_, channels = collection.id, collection.physical_channels
        await self._steps.unload(id_)
        await self._steps.drop_index(id_)
        ts = await self._steps.tell_readers(
            f"announce the drop of collection {id_}",
            channels,
            lambda ts, source: messages.drop_collection(id_, collection.name, ts, source),
        )
        await self._steps.ticked(channels, ts)
        self._channels.release(channels)
        await self._steps.collected(began_s, id_)
        await failpoint("ddl_cleanup_half")
        await self._bury(id_, dropped_at)
        log.info("dropped collection is gone", collection=collection.name, id=id_)

    async def _bury(self, collection_id: int, ts: Timestamp | None) -> None:
        """Tombstones for all that etcd has of a collection, its aliases included."""

        async def attempt() -> bool:
            """False: another alias has come to light, which is not locked."""
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

        while not await self._steps.surely(f"bury collection {collection_id}", "etcd", attempt):
            pass

    def _aliases(self, collection_id: int) -> tuple[tuple[str, str], ...]:
        state = self._store.state
        collection = state.collection(collection_id)
        database = state.database_of(collection.db_id) if collection else None
        if database is None:  # nobody can touch them
            return ()
        return tuple((database.name, alias) for alias in state.aliases_of(collection_id))

    async def _drop_partition(self, partition: Partition, dropped_at: Timestamp | None) -> None:
        """Ends early when the whole collection is dropped meanwhile: that takes all with it."""
        began_s = self._clock.boottime()
        collection_id, id_ = partition.collection_id, partition.id
        await self._steps.drop_index(collection_id, (id_,))
        collection = self._store.state.collection(collection_id)
        if collection is None or self._partition_to_drop(partition) is None:
            return
        await self._steps.tell_readers(
            f"announce the drop of partition {id_}",
            collection.physical_channels,
            lambda ts, source: messages.drop_partition(partition, ts, source),
        )
        await self._steps.collected(began_s, collection_id, id_)

        async def bury() -> None:
            async with self._locks.collection(collection_id):
                if self._partition_to_drop(partition) is None:
                    return
                ts = await self._store.now() if dropped_at is None else dropped_at
                await self._store.write(
                    self._store.catalog.drop_partition(partition, ts),
                    applied=lambda _: self._partition_to_drop(partition) is None,
                )

        await self._steps.surely(f"bury partition {id_}", "etcd", bury)
        log.info("dropped partition is gone", partition=partition.name, id=id_)

    def _partition_to_drop(self, partition: Partition) -> Partition | None:
        """The partition, if it is being dropped and its collection is not."""
        state = self._store.state
        collection = state.collection(partition.collection_id)
        if collection is None or not collection.available:
            return None
        for found in state.partitions(partition.collection_id):
            if found.id == partition.id and not found.available:
                return found
        return None
