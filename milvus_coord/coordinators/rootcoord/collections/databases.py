"""CREATE and DROP DATABASE."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.collections.context import DdlContext
from milvus_coord.coordinators.rootcoord.collections.locks import named
from milvus_coord.model.database import DEFAULT_DATABASE, Database
from milvus_coord.model.errors import Refused
from milvus_coord.telemetry.log import log


class DatabaseStatements:
    """Changes of databases. Proxies are told nothing: they cache none (Go 2.2.16)."""

    def __init__(self, context: DdlContext) -> None:
        self._context, self._store = context, context.store

    async def create(self, name: str) -> None:
        """Make a database. Raises Refused, also for a name that exists."""
        async with self._context.locks.database(name):
            with self._context.pending.database(self._store.current, name):
                if self._store.current.database(name) is not None:
                    raise Refused(f"database already exist: {name}")
                database_id = await self._context.ids.take(1)
                database = Database(database_id, name, self._context.clock.wall_ns())
                await self._store.write(
                    self._store.catalog.put_database(database, await self._store.now()),
                    applied=lambda state: state.database_of(database_id) == database,
                )
        log.info("database created", db=name, id=database_id)

    async def drop(self, name: str) -> None:
        """Delete the database, if there is one of this name. Raises Refused."""
        if named(name, "")[0] == DEFAULT_DATABASE:
            raise Refused("can not drop default database")
        # Looked at before waiting too: else all that is new would queue behind us, while we wait
        # for a statement that hangs in there.
        self._empty(name)
        async with self._context.locks.database(name):
            database = self._empty(name)
            if database is None:
                return
            tombstone = self._store.catalog.drop_database(database.id, await self._store.now())
            with self._context.grants.ending_in(name, tombstone) as transactions:
                await self._store.write(
                    transactions, applied=lambda state: state.database_of(database.id) is None
                )
        log.info("database dropped", db=name, id=database.id)

    def _empty(self, name: str) -> Database | None:
        """The database. Raises Refused when something is in it, or is being made in it."""
        state = self._store.current
        database = state.database(name)
        if database is None:
            return None
        if state.count(database.id) or self._context.pending.any_collection(database.id):
            raise Refused(
                f"database:{name} not empty, must drop all collections before drop database"
            )
        return database
