"""Finish what DDL statements leave behind: drops, and collections that were never completed."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Final

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
    PURPOSE,
    SETTLE_COLLECTION,
    SETTLE_PARTITION,
    WHOM,
    Plan,
)
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.model.collection import Collection, CollectionState, Partition
from milvus_coord.model.errors import CoordError, FencedOff
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.tasks.backlog import Backlog
from milvus_coord.role.tasks.jobs import Jobs
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.say_seldom import SaySeldom
from milvus_coord.telemetry.log import log

AT_ONCE_MAX: Final = 16
"""The most calls of one part at a time: thousands may wait for it."""
_BATCH: Final = 32
"""So many are taken up before the loop is given to others."""


class Cleanup:
    """A backlog of the collections and partitions that are to go; nothing of it is ever given up.

    What the term's end cuts off is begun again by `resume_unfinished` in the next term, with its
    first step. FencedOff ends the term. To be made before the term has statements of its own.

    Attributes:
        running: the ids of what is in the backlog.
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
        self._store, self._locks, self._clock = store, locks, clock
        self._times = times or CleanupTimes()
        self._steps = CleanupSteps(
            store=store,
            locks=locks,
            channels=channels,
            effects=effects,
            ticks=ticks,
            clock=clock,
            times=self._times,
        )
        self._backlog = Backlog[Target](
            jobs, clock, name="cleanup", turn=self._turn, at_once=AT_ONCE_MAX
        )
        self._said: defaultdict[str, SaySeldom] = defaultdict(lambda: SaySeldom(clock))
        self._left = store.state.unfinished_ids()
        self.running: set[int] = set()

    async def resume_unfinished(self) -> None:
        """Take up, little by little, what earlier terms left; `channels` counts all of it."""
        left, self._left = self._left, ([], [])
        collections, partitions = sorted(left[0]), sorted(left[1])
        found = 0
        for number, collection_id in enumerate(collections, 1):
            self._resume_collection(collection_id)
            if number % _BATCH == 0:
                await asyncio.sleep(0)
        for collection_id in partitions:
            # A statement that drops a partition now hands it over before it lets go of the lock.
            async with self._locks.collection(collection_id):
                for partition in self._store.state.dropping_partitions(collection_id):
                    self.drop_partition(partition)
                    found += 1
            await asyncio.sleep(0)
        if collections or found:
            log.info(
                "taking up what was left unfinished", collections=len(collections), partitions=found
            )

    def _resume_collection(self, collection_id: int) -> None:
        collection = self._store.state.collection(collection_id)
        if collection is None:
            return
        if collection.state is CollectionState.CREATING:
            self.settle_collection(collection)
        elif not collection.available:
            self.drop_collection(collection)

    def settle_collection(self, collection: Collection) -> None:
        """A statement failed: roll the creation back, or finish the drop, as etcd says.

        Etcd is asked when no write of the statement is on its way any more. The channels of the
        collection are counted.
        """
        self._start(Target(collection, SETTLE_COLLECTION, self._clock.boottime()))

    def settle_partition(self, partition: Partition) -> None:
        """The drop of a partition failed: finish it, if etcd has it."""
        self._start_partition(SETTLE_PARTITION, partition, None)

    def drop_collection(self, collection: Collection, dropped_at: Timestamp | None = None) -> None:
        """Finish the drop of a collection. `dropped_at` is the timestamp of the statement.

        Without it the tombstones get a fresh timestamp, as in Go 2.2.16 after a restart.
        """
        now_s = self._clock.boottime()
        self._start(Target(collection, DROP_COLLECTION, now_s, tombstones_at=dropped_at))

    def drop_partition(self, partition: Partition, dropped_at: Timestamp | None = None) -> None:
        """Like `drop_collection`, for a partition."""
        self._start_partition(DROP_PARTITION, partition, dropped_at)

    def _start_partition(self, plan: Plan, partition: Partition, ts: Timestamp | None) -> None:
        collection = self._store.state.collection(partition.collection_id)
        if collection is not None:
            now_s = self._clock.boottime()
            self._start(Target(collection, plan, now_s, tombstones_at=ts, partition=partition))

    def _start(self, target: Target) -> None:
        if target.id in self.running:  # a drop whose answer was lost, repeated by its user
            return
        self.running.add(target.id)
        self._go_on(target)

    def _go_on(self, target: Target, after_s: float = 0.0) -> None:
        """Put what is next into the backlog, or end."""
        step = None if self._steps.in_vain(target) else target.step
        if step is None:
            # with the last look at the state, so that none that comes after is missed
            self.running.discard(target.id)
        elif not self._backlog.put(WHOM[step], target, after_s=after_s):
            self.running.discard(target.id)  # the next term resumes it

    async def _turn(self, target: Target) -> bool:
        """Try the next step of a target; False when that failed."""
        step = target.step
        assert step is not None
        if self._steps.in_vain(target):
            self.running.discard(target.id)
            return True
        what = f"{PURPOSE[step]} {target.title}"
        try:
            again_s = await self._steps.attempt(step, target)
        except FencedOff:
            raise
        except CoordError as trouble:
            unsaid = self._said[WHOM[step]].due(type(trouble).__name__)
            if unsaid is not None:
                log.warn(f"cannot {what}, trying on", error=str(trouble), unsaid=unsaid)
        except Exception as error:  # one broken object must not end the term, and the next
            log.error("cleaning up broke", what=what, error=error)
        else:
            self._went_well(target, again_s)
            return True
        cap_s, first_s = self._times.retry_cap_s, self._times.retry_first_s
        pause_s = min(cap_s, first_s * 2.0 ** min(target.tries, 20))
        target.tries += 1
        self._go_on(target, pause_s * random.uniform(0.8, 1.0))
        return False

    def _went_well(self, target: Target, again_s: float | None) -> None:
        if again_s is not None:
            target.tries += 1
            self._go_on(target, again_s)
            return
        target.at, target.tries = target.at + 1, 0
        if target.step is None and target.plan.done:
            gone = target.partition or target.collection
            kind = "partition" if target.partition else "collection"
            log.info(target.plan.done, **{kind: gone.name}, id=gone.id)
        self._go_on(target)
