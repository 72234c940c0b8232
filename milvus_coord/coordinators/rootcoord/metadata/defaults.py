"""The database that every Milvus has."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.model.database import DEFAULT_DATABASE, DEFAULT_DATABASE_ID, Database
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log


async def write_default_database(store: Store, clock: Clock) -> None:
    """Write `default` where it is missing; at activation. Raises CoordError."""
    if store.state.database_of(DEFAULT_DATABASE_ID) is not None:
        return
    default = Database(DEFAULT_DATABASE_ID, DEFAULT_DATABASE, clock.wall_ns())
    await store.write(
        store.catalog.put_database(default, await store.now()),
        applied=lambda state: state.database_of(DEFAULT_DATABASE_ID) is not None,
    )
    log.info("database default written")
