"""CREATE and DROP PARTITION."""

from __future__ import annotations

from dataclasses import replace

from milvus_coord.coordinators.rootcoord.collections.context import DdlContext
from milvus_coord.coordinators.rootcoord.collections.locks import named
from milvus_coord.coordinators.rootcoord.collections.rules_schema import too_many_partitions
from milvus_coord.model.collection import Collection, Partition, PartitionState
from milvus_coord.model.errors import FencedOff, Refused
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.telemetry.log import log


class PartitionStatements:
    """Changes of the partitions of a collection, which may be called by an alias.

    Each raises DatabaseNotFound, CollectionNotFound, Refused, and what its steps raise.
    """

    def __init__(self, context: DdlContext) -> None:
        self._context, self._store = context, context.store

    async def create(self, db_name: str, collection_name: str, name: str) -> None:
        """Give the collection a partition of this name, unless it has one already."""
        async with self._context.locks.found(db_name, collection_name) as collection:
            if self._store.current.partition(collection.id, name) is not None:
                log.info("partition exists already", collection=collection.name, partition=name)
                return
            self._check_number(collection)
            await self._create(named(db_name, "")[0], collection, name)

    def _check_number(self, collection: Collection) -> None:
        partitions = self._store.current.partitions(collection.id)
        visible = sum(1 for each in partitions if each.available)
        limit = self._context.limits.max_partitions
        if visible >= limit:
            raise too_many_partitions(visible, limit, collection.name)

    async def _create(self, db_name: str, collection: Collection, name: str) -> None:
        partition_id = await self._context.ids.take(1)
        ts = await self._store.now()
        partition = Partition(partition_id, name, collection.id, ts)
        await self._context.effects.invalidate_id(db_name, collection.id, ts)
        await failpoint("ddl_partition_half")
        await self._store.write(
            self._store.catalog.put_partition(partition, ts),
            applied=lambda state: state.partition(collection.id, name) == partition,
        )
        log.info("partition created", collection=collection.name, partition=name, id=partition_id)

    async def drop(self, db_name: str, collection_name: str, name: str) -> None:
        """Hide the partition from users, if there is one; the cleanup deletes it."""
        if name == self._context.limits.default_partition_name:
            raise Refused("default partition cannot be deleted")
        async with self._context.locks.found(db_name, collection_name) as collection:
            partition = self._store.current.partition(collection.id, name)
            if partition is None:
                log.info("partition is not there", collection=collection.name, partition=name)
                return
            await self._drop(named(db_name, "")[0], collection, partition)

    async def _drop(self, db_name: str, collection: Collection, partition: Partition) -> None:
        ts = await self._store.now()
        await self._context.effects.invalidate_id(db_name, collection.id, ts)
        await failpoint("ddl_partition_half")
        dropping = replace(partition, state=PartitionState.DROPPING)
        try:
            await self._store.write(
                self._store.catalog.put_partition(dropping, ts),
                applied=lambda state: dropping in state.partitions(collection.id),
            )
        except FencedOff:
            raise
        except Exception:
            self._context.cleanup.settle_partition(partition)
            raise
        log.info("partition dropped", collection=collection.name, partition=partition.name, ts=ts)
        self._context.cleanup.drop_partition(dropping, ts)
