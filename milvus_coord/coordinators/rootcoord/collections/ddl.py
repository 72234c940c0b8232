"""All DDL statements of one term."""

from __future__ import annotations

import asyncio
from typing import Final

from milvus_coord.allocator.sources import Ids
from milvus_coord.coordinators.rootcoord.access.object_grants import ObjectGrants
from milvus_coord.coordinators.rootcoord.collections.aliases import AliasStatements
from milvus_coord.coordinators.rootcoord.collections.change_collection import CollectionStatements
from milvus_coord.coordinators.rootcoord.collections.channels import DmlChannels
from milvus_coord.coordinators.rootcoord.collections.cleanup import Cleanup
from milvus_coord.coordinators.rootcoord.collections.cleanup_steps import CleanupTimes
from milvus_coord.coordinators.rootcoord.collections.context import DdlContext, NewCollection
from milvus_coord.coordinators.rootcoord.collections.create_collection import CreateCollection
from milvus_coord.coordinators.rootcoord.collections.databases import DatabaseStatements
from milvus_coord.coordinators.rootcoord.collections.effects import DdlEffects
from milvus_coord.coordinators.rootcoord.collections.locks import DdlLocks
from milvus_coord.coordinators.rootcoord.collections.partitions import PartitionStatements
from milvus_coord.coordinators.rootcoord.collections.rules_limits import DdlLimits, PendingCreates
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.model.schema import Pairs
from milvus_coord.role.tasks.jobs import Jobs
from milvus_coord.runtime.clock import Clock

JOBS_MAX: Final = 10240
"""Statements at a time, running or waiting: the length of Go 2.2.16's queue of DDL tasks."""


class Ddl:
    """One statement a method: returns when it is done, raises CoordError with Go's text.

    There is no queue as in Go 2.2.16: statements wait for each other only where they touch the
    same names or the same collection. Each is a task of the term; see `Jobs`. A database
    name "" means the default one.

    To be made when `store` has caught up. From then on the channels of all stored collections
    get ticks; call `resume_unfinished` once, when the other parts of the term work.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        *,
        store: Store,
        ids: Ids,
        ticks: Ticks,
        effects: DdlEffects,
        grants: ObjectGrants,
        limits: DdlLimits,
        clock: Clock,
        cleanup_times: CleanupTimes | None = None,
        jobs_max: int = JOBS_MAX,
    ) -> None:
        locks = DdlLocks(store)
        self.channels = DmlChannels(ticks, limits, store.state.channels_in_use())
        self.jobs = Jobs(tasks, name="rootcoord.ddl", limit=jobs_max, noun="statements")
        self.cleanup = Cleanup(
            self.jobs,
            store=store,
            locks=locks,
            channels=self.channels,
            effects=effects,
            ticks=ticks,
            clock=clock,
            times=cleanup_times,
        )
        self.locks = locks
        context = DdlContext(
            store=store,
            locks=locks,
            channels=self.channels,
            ticks=ticks,
            ids=ids,
            effects=effects,
            grants=grants,
            cleanup=self.cleanup,
            limits=limits,
            pending=PendingCreates(limits),
            clock=clock,
        )
        self._create = CreateCollection(context)
        self._collections = CollectionStatements(context)
        self._partitions = PartitionStatements(context)
        self._aliases = AliasStatements(context)
        self._databases = DatabaseStatements(context)

    async def resume_unfinished(self) -> None:
        """Return when all that earlier terms left is in the backlog of the cleanup."""
        await self.cleanup.resume_unfinished()

    async def create_collection(self, wanted: NewCollection) -> None:
        name = f"create collection {wanted.collection_name}"
        await self.jobs.run(name, self._create.run(wanted))

    async def drop_collection(self, db_name: str, name: str) -> None:
        work = self._collections.drop(db_name, name)
        await self.jobs.run(f"drop collection {name}", work)

    async def alter_collection(self, db_name: str, name: str, properties: Pairs) -> None:
        work = self._collections.alter(db_name, name, properties)
        await self.jobs.run(f"alter collection {name}", work)

    async def rename_collection(self, db_name: str, old: str, new_db_name: str, new: str) -> None:
        work = self._collections.rename(db_name, old, new_db_name, new)
        await self.jobs.run(f"rename collection {old}", work)

    async def create_partition(
        self, db_name: str, collection_name: str, partition_name: str
    ) -> None:
        work = self._partitions.create(db_name, collection_name, partition_name)
        await self.jobs.run(f"create partition {partition_name}", work)

    async def drop_partition(self, db_name: str, collection_name: str, partition_name: str) -> None:
        work = self._partitions.drop(db_name, collection_name, partition_name)
        await self.jobs.run(f"drop partition {partition_name}", work)

    async def create_alias(self, db_name: str, collection_name: str, alias: str) -> None:
        work = self._aliases.create(db_name, collection_name, alias)
        await self.jobs.run(f"create alias {alias}", work)

    async def alter_alias(self, db_name: str, collection_name: str, alias: str) -> None:
        work = self._aliases.alter(db_name, collection_name, alias)
        await self.jobs.run(f"alter alias {alias}", work)

    async def drop_alias(self, db_name: str, alias: str) -> None:
        await self.jobs.run(f"drop alias {alias}", self._aliases.drop(db_name, alias))

    async def create_database(self, name: str) -> None:
        await self.jobs.run(f"create database {name}", self._databases.create(name))

    async def drop_database(self, name: str) -> None:
        await self.jobs.run(f"drop database {name}", self._databases.drop(name))
