"""RootCoord's metadata over an etcd in memory, with a leader that may write it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import mirrored
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Op, Txn, put
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.model.database import Database
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.runtime.race import cancel_and_wait
from testing.metadata import META_ROOT, ts

ACTIVE: Final = f"{META_ROOT}/session/rootcoord".encode()
DEFAULT: Final = Database(1, "default", 1)


async def turns(number: int = 50) -> None:
    """Let everybody go on who can."""
    for _ in range(number):
        await asyncio.sleep(0)


class LateTimestamps:
    """Later than all that tests give."""

    async def take(self, count: int) -> Timestamp:
        return ts(1000)


class MetaWorld:
    """One leader: `etcd` is its own link, `other` somebody else's; `default` is there at ts(0)."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.etcd = MemoryEtcd(self.clock)
        self.other = self.etcd.peer()
        self.reader = self.etcd.peer()
        self.catalog = Catalog(META_ROOT)
        self.mirror = Mirror(self.reader, self.clock, mirrored(META_ROOT))
        self.fence: Fence
        self.metadata: Store

    async def lead(self) -> None:
        """Begin a term: a former one is over."""
        lease = (await self.etcd.lease_grant(1_000_000)).id
        epoch = (await self.other.txn(Txn((), (put(ACTIVE, b"me", lease),)))).revision
        self.fence = Fence(self.etcd, ACTIVE, lease, epoch)
        await self.mirror.catch_up(self.fence)
        self.metadata = Store(self.mirror, self.fence, lambda: None, self.catalog, LateTimestamps())

    async def write(self, transactions: list[tuple[Op, ...]]) -> None:
        """As a former leader did."""
        for ops in transactions:
            result = await self.other.txn(Txn((), ops))
            await self.mirror.reached(result.revision)

    def stored(self, prefix: bytes = b"") -> dict[str, bytes]:
        """Everything below the meta root and `prefix`, by relative key."""
        root = f"{META_ROOT}/".encode()
        store = self.etcd.store
        kvs = store.range(root + prefix, root + prefix + b"\xff")
        return {kv.key[len(root) :].decode(): kv.value for kv in kvs}

    async def eventually(self, true: Callable[[], bool]) -> None:
        """Wait until it is so, with a bound."""
        for _ in range(500):
            if true():
                return
            await turns(5)
        raise AssertionError("it never came")


@asynccontextmanager
async def meta_world() -> AsyncIterator[MetaWorld]:
    """A leader with a database."""
    world = MetaWorld()
    mirroring = asyncio.create_task(world.mirror.run(), name="mirror")
    try:
        await world.lead()
        await world.metadata.commit(world.catalog.put_database(DEFAULT, ts(0)))
        yield world
    finally:
        await cancel_and_wait(mirroring)
