"""Finish what DDL statements leave behind: drops, and collections that were never completed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from milvus_coord.coordinators.rootcoord.collections.channels import DmlChannels
from milvus_coord.coordinators.rootcoord.collections.cleanup_steps import (
    CleanupSteps,
    CleanupTimes,
    Target,
)
from milvus_coord.coordinators.rootcoord.collections.effects import DdlEffects
from milvus_coord.coordinators.rootcoord.collections.locks import DdlLocks
from milvus_coord.coordinators.rootcoord.collections.rules_cleanup import (
    DROP_COLLECTION,
    DROP_PARTITION,
    plan_for,
)
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.model.collection import Collection, CollectionState, Partition
from milvus_coord.model.errors import NotServing
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.tasks.jobs import Jobs
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log


class Cleanup:
    """One job of the term for each collection and partition that is to go; none ever gives up.

    A job that the term's end cuts off is begun again by `resume_unfinished` in the next term, with
    its first step. FencedOff ends the term.
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
        self._jobs, self._store, self._clock = jobs, store, clock
        self._steps = CleanupSteps(
            store=store,
            locks=locks,
            channels=channels,
            effects=effects,
            ticks=ticks,
            clock=clock,
            times=times or CleanupTimes(),
        )
        self.running: set[str] = set()

    def resume_unfinished(self) -> None:
        """Take up what earlier terms left; `channels` counts the collections in any state."""
        state = self._store.state
        collections, partitions = list(state.unfinished()), list(state.dropping_partitions())
        for collection in collections:
            if collection.state is CollectionState.CREATING:
                self.settle_collection(collection)
            else:
                self.drop_collection(collection)
        for partition in partitions:
            self.drop_partition(partition)
        if collections or partitions:
            log.info(
                "taking up what was left unfinished",
                collections=len(collections),
                partitions=len(partitions),
            )

    def settle_collection(self, collection: Collection) -> None:
        """A statement failed: roll the creation back, or finish the drop, as etcd says.

        Etcd is asked when no write of the statement is on its way any more. The channels of the
        collection are counted.
        """

        async def settle() -> None:
            await self._steps.settle(collection.id)
            found = self._store.state.collection(collection.id)
            await self._steps.run(plan_for(found), self._target(found or collection))

        self._start(f"collection.{collection.id}", settle)

    def settle_partition(self, partition: Partition) -> None:
        """The drop of a partition failed: finish it, if etcd has it."""

        async def settle() -> None:
            await self._steps.settle(partition.id)
            await self._finish_partition(partition, None)

        self._start(f"partition.{partition.id}", settle)

    def drop_collection(self, collection: Collection, dropped_at: Timestamp | None = None) -> None:
        """Finish the drop of a collection. `dropped_at` is the timestamp of the statement.

        Without it the tombstones get a fresh timestamp, as in Go 2.2.16 after a restart.
        """
        target = self._target(collection, dropped_at)
        name = f"collection.{collection.id}"
        self._start(name, lambda: self._steps.run(DROP_COLLECTION, target))

    def drop_partition(self, partition: Partition, dropped_at: Timestamp | None = None) -> None:
        """Like `drop_collection`, for a partition."""
        name = f"partition.{partition.id}"
        self._start(name, lambda: self._finish_partition(partition, dropped_at))

    async def _finish_partition(self, partition: Partition, dropped_at: Timestamp | None) -> None:
        collection = self._store.state.collection(partition.collection_id)
        if collection is not None:
            began_s = self._clock.boottime()
            target = Target(collection, began_s, tombstones_at=dropped_at, partition=partition)
            await self._steps.run(DROP_PARTITION, target)

    def _target(self, collection: Collection, dropped_at: Timestamp | None = None) -> Target:
        creating = collection.state is CollectionState.CREATING
        ts = collection.created_at if creating else dropped_at
        return Target(collection, self._clock.boottime(), tombstones_at=ts)

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        if name in self.running:  # a drop whose answer was lost, repeated by its user
            return

        async def run() -> None:
            try:
                await work()
            finally:  # with the last look at the state, so that none that comes after is missed
                self.running.discard(name)

        try:
            self._jobs.start(f"cleanup.{name}", run())
        except NotServing:  # the next term resumes it
            return
        self.running.add(name)
