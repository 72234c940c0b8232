"""DROP, ALTER and RENAME COLLECTION."""

from __future__ import annotations

from dataclasses import replace

from milvus_coord.coordinators.rootcoord.collections.aliases import drop_stale_alias
from milvus_coord.coordinators.rootcoord.collections.context import DdlContext
from milvus_coord.coordinators.rootcoord.collections.locks import named
from milvus_coord.model.collection import Collection, CollectionState
from milvus_coord.model.database import Database
from milvus_coord.model.errors import CollectionNotFound, FencedOff, Refused
from milvus_coord.model.schema import Pairs
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.telemetry.log import log


class CollectionStatements:
    """Changes of collections that exist. Database "" means the default one."""

    def __init__(self, context: DdlContext) -> None:
        self._context, self._store = context, context.store

    async def drop(self, db_name: str, name: str) -> None:
        """Hide the collection from users, if there is one; the cleanup deletes it.

        Raises Refused for an alias.
        """
        async with self._context.locks.names(named(db_name, name)):
            state = self._store.current
            database = state.database(db_name)
            if database is None:
                return
            if state.alias(database.id, name) is not None:
                raise Refused(f"cannot drop the collection via alias = {name}")
            found = state.by_name(database.id, name)
            if found is None:
                log.info("collection to drop is not there", db=database.name, collection=name)
                return
            async with self._context.locks.collection(found.id):
                await self._drop(database, found.id)

    async def _drop(self, database: Database, collection_id: int) -> None:
        collection = self._store.current.by_id(collection_id)
        ts = await self._store.now()
        await self._context.effects.invalidate_id(database.name, collection.id, ts, dropped=True)
        await failpoint("ddl_drop_half")
        dropping = replace(collection, state=CollectionState.DROPPING)
        names = (collection.name, *self._store.current.aliases_of(collection_id))
        hidden = self._store.catalog.put_collection(dropping, ts)
        try:
            with self._context.grants.ending_on(database.name, names, hidden) as transactions:
                await self._store.write(
                    transactions,
                    applied=lambda state: state.collection(collection_id) == dropping,
                )
        except FencedOff:
            raise
        except Exception:
            self._context.cleanup.settle_collection(collection)
            raise
        log.info("collection dropped", db=database.name, collection=collection.name, ts=ts)
        await failpoint("ddl_drop_done")
        self._context.cleanup.drop_collection(dropping, ts)

    async def alter(self, db_name: str, name: str, properties: Pairs) -> None:
        """Add `properties` to those of the collection, in place of those of the same key.

        Raises Refused, DatabaseNotFound, CollectionNotFound, and what the steps raise: once etcd
        has it, a later failure undoes nothing, as in Go 2.2.16.
        """
        if not name:
            raise Refused("alter collection failed, collection name does not exists")
        if not properties:
            raise Refused(
                "only support alter collection properties, but collection properties is empty"
            )
        async with self._context.locks.found(db_name, name) as collection:
            merged = tuple((dict(collection.properties) | dict(properties)).items())
            altered = replace(collection, properties=merged)
            ts = await self._store.now()
            # Go writes the old properties into etcd, and keeps the new ones in memory alone.
            await self._store.write(
                self._store.catalog.put_collection(altered, ts),
                applied=lambda state: state.collection(altered.id) == altered,
            )
            await failpoint("ddl_alter_half")
            await self._context.effects.invalidate_id(named(db_name, name)[0], altered.id, ts)
            partitions = self._store.current.partitions(altered.id)
            visible = tuple(each.id for each in partitions if each.available)
            await self._context.effects.announce_properties(altered, visible)
        log.info("collection altered", db=db_name, collection=altered.name, properties=dict(merged))

    async def rename(self, db_name: str, old: str, new_db_name: str, new: str) -> None:
        """Give the collection another name, in another database unless `new_db_name` is "".

        Raises Refused, DatabaseNotFound, CollectionNotFound, and what the steps raise.
        """
        source, target = named(db_name, old), named(new_db_name or db_name, new)
        async with self._context.locks.names(source, target):
            ts = await self._store.now()
            await self._context.effects.invalidate_names(source[0], (old,), ts)
            await failpoint("ddl_rename_half")
            database = self._store.current.database(target[0])
            if database is None:
                raise Refused(f"target database:{target[0]} not found")
            self._check_names(source, target, database)
            await drop_stale_alias(self._store, database, new)
            collection_id = (await self._store.find(*source)).id
            async with self._context.locks.collection(collection_id):
                collection = await self._store.find(*source)
                await self._move(collection, replace(collection, name=new, db_id=database.id))
        log.info("collection renamed", old=old, db=target[0], new=new)

    def _check_names(
        self, source: tuple[str, str], target: tuple[str, str], database: Database
    ) -> None:
        state = self._store.current
        source_database = state.database(source[0])
        if source_database and state.alias(source_database.id, source[1]) is not None:
            raise Refused(f"unsupported use an alias to rename collection, alias:{source[1]}")
        try:
            state.resolve(*target)
        except CollectionNotFound:
            # An alias of a collection that is gone may hide one of the same name.
            if state.by_name(database.id, target[1]) is None:
                return
        raise Refused(
            f"duplicated new collection name {target[0]}:{target[1]} "
            "with other collection name or alias"
        )

    async def _move(self, collection: Collection, renamed: Collection) -> None:
        aliases = self._store.current.aliases_of(collection.id)
        if aliases and collection.db_id != renamed.db_id:
            raise Refused(
                "fail to rename db name, must drop all aliases of this collection before rename"
            )
        # A fresh one: the collection may have been written while we waited for it.
        ts = await self._store.now()
        catalog = self._store.catalog
        await self._store.write(
            catalog.put_collection(renamed, ts)
            if collection.db_id == renamed.db_id
            else catalog.move_collection(collection, renamed, ts),
            applied=lambda state: state.collection(renamed.id) == renamed,
        )
