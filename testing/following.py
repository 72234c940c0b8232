"""Follow a prefix of etcd beside a test, and hand it what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from milvus_coord.etcd.follow import follow_prefix
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import Batch, Listing
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.race import cancel_and_wait


@asynccontextmanager
async def following(
    etcd: Etcd, clock: Clock, prefix: bytes
) -> AsyncIterator[asyncio.Queue[Listing | Batch]]:
    """Inside, listings and batches come into the queue."""
    news = asyncio.Queue[Listing | Batch]()
    work = follow_prefix(etcd, clock, prefix, news.put_nowait, what="keys of a test")
    task = asyncio.create_task(work, name="test.follow")
    try:
        yield news
    finally:
        await cancel_and_wait(task)
