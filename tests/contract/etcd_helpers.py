"""Short words for tests of the etcd client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.prefix import range_end, range_start
from milvus_coord.etcd.protocol import Watch
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Compare, Delete, Get, Op, Target, Txn, get, mod_revision_is, put
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdMember

SOON_S: Final = 15.0


def create_revision_is(key: bytes, revision: int) -> Compare:
    """The key was created at `revision`; 0: it is absent."""
    return Compare(Target.CREATE_REVISION, key, revision)


def delete_prefix(prefix: bytes) -> Op:
    """Delete all keys that begin with `prefix`."""
    return Delete(range_start(prefix), range_end(prefix))


def get_prefix(prefix: bytes) -> Op:
    """Read all keys that begin with `prefix`, in one message."""
    return Get(range_start(prefix), range_end(prefix))


@asynccontextmanager
async def connected(
    endpoints: tuple[str, ...], settings: EtcdSettings | None = None
) -> AsyncIterator[EtcdClient]:
    """A client that is closed at the end of the block."""
    settings = replace(settings, endpoints=endpoints) if settings else EtcdSettings(endpoints)
    client = EtcdClient(settings, SystemClock())
    try:
        await client.connect()
        yield client
    finally:
        await client.close()


async def write(etcd: EtcdClient, key: bytes, value: bytes) -> int:
    """Put, and the revision of it."""
    return (await etcd.txn(Txn((), (put(key, value),)), timeout_s=SOON_S)).revision


async def kill_alone(etcd: EtcdMember, client: EtcdClient) -> None:
    """Kill a lone member such that no write but a filler can be lost (see `EtcdMember.kill`)."""
    await write(client, b"filler", b"")
    etcd.kill()


class Writer:
    """Counts up in one key; each number is written exactly once, whatever etcd goes through.

    A write whose outcome is unknown is looked up before it is tried again.
    """

    def __init__(self, etcd: EtcdClient, key: bytes) -> None:
        self._etcd, self._key = etcd, key
        self.written = 0
        self._revision = 0
        self._progress = asyncio.Event()

    async def run(self) -> None:
        while True:
            await self._one()
            self._progress.set()

    async def reached(self, number: int) -> None:
        """Wait until `number` more have been written."""
        wanted = self.written + number
        async with asyncio.timeout(SOON_S):
            while self.written < wanted:
                self._progress.clear()
                await self._progress.wait()

    async def _one(self) -> None:
        number = b"%d" % (self.written + 1)
        guard = mod_revision_is(self._key, self._revision)
        txn = Txn((guard,), (put(self._key, number),), (get(self._key),))
        try:
            result = await self._etcd.txn(txn, timeout_s=3.0)
        except Unavailable:
            return
        if result.succeeded:
            self._revision = result.revision
        else:
            kv = result.kv(0)
            assert kv is not None
            assert kv.value == number, "somebody else writes here"
            self._revision = kv.mod_revision
        self.written += 1


async def numbers(watch: Watch, until: int) -> list[int]:
    """The values that the watch delivers until `until` is among them."""
    found: list[int] = []
    async with asyncio.timeout(SOON_S):
        while until not in found:
            batch = await anext(watch)
            assert batch.revision == batch.events[-1].kv.mod_revision
            found += [int(event.kv.value) for event in batch.events]
    return found
