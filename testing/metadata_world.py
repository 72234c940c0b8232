"""RootCoord's metadata over an etcd in memory, with a leader that may write it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage, mirrored
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.etcd.txn import Op, Txn
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.model.database import Database
from milvus_coord.model.timestamps import Timestamp
from testing.metadata import META_ROOT, ts
from testing.role_world import RoleWorld

DEFAULT: Final = Database(1, "default", 1)


class LateTimestamps:
    """Later than all that tests give."""

    async def take(self, count: int) -> Timestamp:
        return ts(1000)


class MetaWorld(RoleWorld[MetaImage]):
    """One process, which leads again and again; `default` is there at ts(0)."""

    mirror: Mirror[MetaImage]
    fence: Fence
    metadata: Store

    def __init__(self) -> None:
        super().__init__(mirrored(META_ROOT))
        self.catalog = Catalog(META_ROOT)

    async def begin_term(self) -> None:
        """The former one is over."""
        self.fence = await self.lead()
        await self.mirror.catch_up(self.fence)
        self.metadata = Store(
            self.mirror, self.fence, self.serve.require, self.catalog, LateTimestamps()
        )

    async def write(self, transactions: list[tuple[Op, ...]]) -> None:
        """As a former leader did."""
        for ops in transactions:
            result = await self.other.txn(Txn((), ops))
            await self.mirror.reached(result.revision)


@asynccontextmanager
async def meta_world() -> AsyncIterator[MetaWorld]:
    """A leader with a database."""
    world = MetaWorld()
    async with world.following() as world.mirror:
        await world.begin_term()
        await world.metadata.commit(world.catalog.put_database(DEFAULT, ts(0)))
        yield world
