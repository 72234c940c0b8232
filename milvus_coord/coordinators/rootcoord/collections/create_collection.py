"""CREATE COLLECTION."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final

from milvus_coord.coordinators.rootcoord.collections import queue_messages as messages
from milvus_coord.coordinators.rootcoord.collections.aliases import drop_stale_alias
from milvus_coord.coordinators.rootcoord.collections.context import DdlContext, NewCollection
from milvus_coord.coordinators.rootcoord.collections.locks import named
from milvus_coord.coordinators.rootcoord.collections.rules_schema import (
    assembled,
    check_schema,
    check_shards,
    partition_names,
)
from milvus_coord.coordinators.rootcoord.metadata.rules_equality import same_definition
from milvus_coord.model.channels import virtual_channel
from milvus_coord.model.collection import Collection, CollectionState, Partition
from milvus_coord.model.database import Database
from milvus_coord.model.errors import CollectionNotFound, FencedOff, Refused
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import gather_all
from milvus_coord.telemetry.log import log

_LATER: Final = Timestamp(0)
_DEFAULT_SHARDS: Final = 1


class CreateCollection:
    """Makes collections, side by side unless they want the same name.

    The steps: message, proxies' caches, CREATING with partitions and fields, datacoord watches the
    channels, CREATED. Whatever fails, nothing stays: what etcd knows of goes to the cleanup.
    """

    def __init__(self, context: DdlContext) -> None:
        self._context, self._limits = context, context.limits

    async def run(self, wanted: NewCollection) -> None:
        """The collection is there as wanted, made now or before.

        Raises Refused, DatabaseNotFound, and what the steps raise.
        """
        name = named(wanted.db_name, wanted.collection_name)
        async with self._context.locks.names(name):
            database = self._context.store.current.require_database(wanted.db_name)
            self._check_shards(wanted)
            with self._counted(database.id, wanted.collection_name):
                draft, partitions = self._draft(wanted, database)
                await drop_stale_alias(self._context.store, database, draft.name)
                # Go 2.2.16 looks for the name after it has sent the message and taken channels.
                if not self._exists(draft, partitions):
                    await self._make(database, draft, partitions)

    def _counted(self, db_id: int, name: str) -> AbstractContextManager[None]:
        return self._context.pending.collection(self._context.store.current, db_id, name)

    def _check_shards(self, wanted: NewCollection) -> None:
        check_shards(
            wanted.shards,
            dml_channel_num=self._limits.dml_channel_num,
            max_shard_num=self._limits.max_shard_num,
        )

    def _draft(
        self, wanted: NewCollection, database: Database
    ) -> tuple[Collection, tuple[Partition, ...]]:
        """All that does not depend on ids and channels."""
        name, schema = wanted.collection_name, wanted.schema
        check_schema(name, schema, auto_index=self._limits.auto_index)
        names = partition_names(
            name,
            schema,
            wanted.num_partitions,
            default_name=self._limits.default_partition_name,
            max_partitions=self._limits.max_partitions,
        )
        draft = Collection(
            id=0,
            db_id=database.id,
            name=name,
            description=schema.description,
            auto_id=schema.auto_id,
            enable_dynamic_field=schema.enable_dynamic_field,
            fields=assembled(schema),
            virtual_channels=(),
            physical_channels=(),
            shards=wanted.shards if wanted.shards > 0 else _DEFAULT_SHARDS,
            start_positions=(),
            consistency_level=wanted.consistency_level,
            properties=wanted.properties,
            created_at=_LATER,
            state=CollectionState.CREATING,
        )
        return draft, tuple(Partition(0, partition, 0, _LATER) for partition in names)

    def _exists(self, draft: Collection, partitions: tuple[Partition, ...]) -> bool:
        """Whether the very same collection is there. Raises Refused for another one."""
        state = self._context.store.current
        database = state.database_of(draft.db_id)
        try:
            found = state.resolve(database.name if database else "", draft.name)
        except CollectionNotFound:
            return False
        there = tuple(each for each in state.partitions(found.id) if each.available)
        if not same_definition(found, there, draft, partitions):
            raise Refused(
                f"create duplicate collection with different parameters, collection: {draft.name}"
            )
        log.info("collection exists already as wanted", collection=draft.name, id=found.id)
        return True

    async def _make(
        self, database: Database, draft: Collection, partitions: tuple[Partition, ...]
    ) -> None:
        first_id = await self._context.ids.take(1 + len(partitions))
        physical = self._context.channels.take(draft.shards)
        draft = replace(
            draft,
            id=first_id,
            physical_channels=physical,
            virtual_channels=tuple(
                virtual_channel(channel, first_id, i) for i, channel in enumerate(physical)
            ),
        )
        ids = range(first_id + 1, first_id + 1 + len(partitions))
        try:
            announced = await self._announce(database, draft, ids)
        except Exception:
            # Nobody reads the channels for this collection: a message that did go out is skipped.
            self._context.channels.release(physical)
            raise
        dated = tuple(
            replace(each, id=id_, collection_id=first_id, created_at=announced.created_at)
            for id_, each in zip(ids, partitions, strict=True)
        )
        await failpoint("ddl_create_announced")
        await self._store(announced, dated)
        log.info(
            "collection created",
            db=database.name,
            collection=draft.name,
            id=first_id,
            channels=list(draft.virtual_channels),
            ts=announced.created_at,
        )

    async def _announce(self, database: Database, draft: Collection, ids: range) -> Collection:
        """Tell readers of the channels, which gives the start positions, and the proxies.

        Both at the same time: neither changes anything for users, who see the collection not
        before it is CREATED. Ticks wait for the messages alone.
        """
        forget = self._context.effects.invalidate_names(
            database.name, (draft.name,), await self._context.store.now()
        )
        announced: list[Collection] = []

        async def send() -> None:
            channels = draft.physical_channels
            async with self._context.ticks.stamp(channels) as ts:
                payload = messages.create_collection(draft, ids, ts)
                positions = await self._context.effects.send(channels, payload)
            announced.append(replace(draft, created_at=ts, start_positions=positions))

        await gather_all(send(), forget, name="rootcoord.ddl.announce")
        return announced[0]

    async def _store(self, creating: Collection, partitions: tuple[Partition, ...]) -> None:
        """From CREATING to CREATED, all at the one timestamp of the statement."""
        store, ts = self._context.store, creating.created_at
        created = replace(creating, state=CollectionState.CREATED)
        try:
            await store.write(
                store.catalog.create_collection(creating, partitions, ts),
                applied=lambda state: (
                    state.collection(creating.id) == creating
                    and state.partitions(creating.id) == partitions
                ),
            )
            await failpoint("ddl_create_half")
            await self._context.effects.watch(creating)
            await failpoint("ddl_create_watched")
            await store.write(
                store.catalog.put_collection(created, ts),
                applied=lambda state: state.collection(creating.id) == created,
            )
        except FencedOff:
            raise
        except Exception:
            self._context.cleanup.settle_collection(creating)
            raise
