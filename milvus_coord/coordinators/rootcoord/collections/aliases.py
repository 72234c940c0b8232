"""CREATE, ALTER and DROP ALIAS."""

from __future__ import annotations

from contextlib import suppress

from milvus_coord.coordinators.rootcoord.collections.context import DdlContext
from milvus_coord.coordinators.rootcoord.collections.locks import named
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.model.collection import Collection
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.errors import CollectionNotFound, Refused
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.telemetry.log import log


async def drop_stale_alias(store: Store, database: Database, name: str) -> None:
    """Drop the alias of this name if its collection is gone: users would find that one by it.

    The name must be locked. Go 2.2.16 keeps it until all of that collection is deleted, and
    describes nothing under the name meanwhile.
    """
    alias = store.current.alias(database.id, name)
    if alias is None:
        return
    with suppress(CollectionNotFound):
        store.current.by_id(alias.collection_id)
        return
    await store.write(
        store.catalog.drop_alias(database.id, name, await store.now()),
        applied=lambda state: state.alias(database.id, name) is None,
    )
    log.info("alias of a dropped collection dropped", db=database.name, alias=name)


class AliasStatements:
    """Changes of aliases. As in Go 2.2.16 the proxies forget the names before anything is checked.

    Unlike Go, which keeps the names of dropped collections until their data is gone or it is
    started anew, a name is free for an alias as soon as its collection is dropped.
    """

    def __init__(self, context: DdlContext) -> None:
        self._context, self._store = context, context.store

    async def create(self, db_name: str, collection_name: str, name: str) -> None:
        """Give the collection an alias, unless it has this one already. Raises Refused."""
        alone, shared = named(db_name, name), named(db_name, collection_name)
        async with self._context.locks.names(alone, shared=(shared,)):
            ts = await self._store.now()
            await self._context.effects.invalidate_names(alone[0], (name, collection_name), ts)
            state = self._store.current
            database = state.database(db_name)
            if database is None:
                raise Refused(f"database {alone[0]} not found")
            if state.by_name(database.id, name) is not None:
                raise Refused(
                    f"cannot create alias, collection already exists with same name: {name}"
                )
            collection = self._target(database, collection_name)
            existing = state.alias(database.id, name)
            if existing is None:
                await self._put(database, collection, name, ts)
            elif existing.collection_id != collection.id:
                other = state.collection(existing.collection_id)
                raise Refused(
                    "alias exists and already aliased to another collection, "
                    f"alias: {name}, collection: {collection_name}, "
                    f"other collection: {other.name if other else existing.collection_id}"
                )

    async def alter(self, db_name: str, collection_name: str, name: str) -> None:
        """Point an existing alias to this collection. Raises Refused."""
        alone, shared = named(db_name, name), named(db_name, collection_name)
        async with self._context.locks.names(alone, shared=(shared,)):
            ts = await self._store.now()
            await self._context.effects.invalidate_names(alone[0], (name,), ts)
            state = self._store.current
            database = state.database(db_name)
            if database is None:
                raise Refused(f"database not found: {alone[0]}")
            if state.by_name(database.id, name) is not None:
                raise Refused(
                    f"cannot alter alias, collection already exists with same name: {name}"
                )
            collection = self._target(database, collection_name)
            if state.alias(database.id, name) is None:
                raise Refused(f"failed to alter alias, alias does not exist: {name}")
            await self._put(database, collection, name, ts)

    async def drop(self, db_name: str, name: str) -> None:
        """Delete the alias, if there is one of this name. Raises DatabaseNotFound."""
        alone = named(db_name, name)
        async with self._context.locks.names(alone):
            ts = await self._store.now()
            await self._context.effects.invalidate_names(alone[0], (name,), ts)
            database = self._store.current.require_database(db_name)
            alias = self._store.current.alias(database.id, name)
            if alias is None:
                return
            # Go deletes every alias that begins like this one, and notices only when restarted.
            tombstone = self._store.catalog.drop_alias(database.id, name, ts)
            with self._context.grants.ending_on(alone[0], (name,), tombstone) as transactions:
                await self._store.write(
                    transactions, applied=lambda state: state.alias(database.id, name) is None
                )
        log.info("alias dropped", db=alone[0], alias=name)

    def _target(self, database: Database, name: str) -> Collection:
        """The collection of this name; an alias cannot have an alias. Raises Refused."""
        collection = self._store.current.by_name(database.id, name)
        if collection is None:
            raise Refused(f"collection not exists: {name}")
        return collection

    async def _put(
        self, database: Database, collection: Collection, name: str, ts: Timestamp
    ) -> None:
        alias = Alias(name, database.id, collection.id, ts)
        await self._store.write(
            self._store.catalog.put_alias(alias, ts),
            applied=lambda state: state.alias(database.id, name) == alias,
        )
        log.info("alias set", db=database.name, alias=name, collection=collection.name)
