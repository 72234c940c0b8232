"""Locks of DDL statements: two wait for each other when they touch the same name or collection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.model.collection import Collection
from milvus_coord.model.database import DEFAULT_DATABASE
from milvus_coord.runtime.locks import KeyedLocks

Name: TypeAlias = tuple[str, str]
"""Database and name of a collection or alias; ("db", "") is the database itself."""


class DdlLocks:
    """Names first, all in one step, then one collection: so no two wait for each other.

    Each method holds until its block ends. A database name "" means the default database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: KeyedLocks[Name] = KeyedLocks()
        self._collections: KeyedLocks[int] = KeyedLocks()

    @property
    def held(self) -> int:
        """How many names and collections are held or waited for."""
        return len(self._names) + len(self._collections)

    def database(self, db_name: str) -> AbstractAsyncContextManager[None]:
        """Nothing else happens in the database."""
        return self._names.hold(named(db_name, ""))

    def names(
        self, *alone: Name, shared: tuple[Name, ...] = ()
    ) -> AbstractAsyncContextManager[None]:
        """Nobody gives or takes these names; their databases stay."""
        databases = tuple((db_name, "") for db_name, _ in (*alone, *shared))
        return self._names.hold(*alone, shared=shared + databases)

    def collection(self, collection_id: int) -> AbstractAsyncContextManager[None]:
        """Nothing else happens to the collection. Take names before, never after."""
        return self._collections.hold(collection_id)

    @asynccontextmanager
    async def found(self, db_name: str, name: str) -> AsyncIterator[Collection]:
        """The collection that users call `name`, for one's own.

        Raises what `Store.find` raises.
        """
        async with self.names(shared=(named(db_name, name),)):
            # No alias of this name changes now, but its collection may go while we wait for it.
            collection_id = (await self._store.find(db_name, name)).id
            async with self.collection(collection_id):
                yield await self._store.find(db_name, name)


def named(db_name: str, name: str) -> Name:
    """The key of a name."""
    return db_name or DEFAULT_DATABASE, name
