"""Sizes and quotas of the real etcd."""

from __future__ import annotations

import asyncio

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import AnswerTooLarge, NoSpace, RequestTooLarge
from milvus_coord.etcd.txn import MAX_OPS, Txn, put
from testing.etcd import EtcdMember, EtcdOptions
from tests.conftest import StartEtcd
from tests.contract.etcd_helpers import Writer, connected, get_prefix, write

pytestmark = pytest.mark.etcd


async def test_a_range_of_many_megabytes_is_one_revision_while_others_write(
    etcd: EtcdMember,
) -> None:
    async with connected(etcd.endpoints) as client, asyncio.TaskGroup() as tasks:
        for number in range(80):
            await write(client, b"big/%03d" % number, bytes(100_000))
        writer = Writer(client, b"big/zzz")
        writing = tasks.create_task(writer.run(), name="writing")
        await writer.reached(1)
        listing = await client.range(b"big/", page_keys=7)
        await writer.reached(1)
        writing.cancel()
        assert len(listing.kvs) == 81
        assert sum(len(kv.value) for kv in listing.kvs[:80]) == 8_000_000
        assert max(kv.mod_revision for kv in listing.kvs) == listing.kvs[-1].mod_revision
        assert listing.kvs[-1].mod_revision == listing.revision
        again = await client.range(b"big/", revision=listing.revision)
        assert again == listing


async def test_a_range_starts_over_when_a_compaction_overtakes_it(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client, asyncio.TaskGroup() as tasks:
        ops = tuple(put(b"k/%04d" % number, b"v") for number in range(600))
        for start in range(0, len(ops), MAX_OPS):
            await client.txn(Txn((), ops[start : start + MAX_OPS]))
        reading = tasks.create_task(client.range(b"k/", page_keys=2), name="reading")
        await asyncio.sleep(0.05)
        assert not reading.done()
        last = await write(client, b"other", b"1")
        await etcd.ctl("compact", str(last))
        listing = await reading
        assert len(listing.kvs) == 600


async def test_a_page_that_is_too_large_is_cut_smaller(
    etcd: EtcdMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "milvus_coord.etcd.client.member._OPTIONS", {"grpc.max_receive_message_length": 1_000_000}
    )
    async with connected(etcd.endpoints) as client:
        for number in range(20):
            await write(client, b"big/%03d" % number, bytes(100_000))
        assert len((await client.range(b"big/")).kvs) == 20
        pages = [page async for page in client.pages(b"big/", b"big0")]
        assert sum(len(page.kvs) for page in pages) == 20
        assert len({page.revision for page in pages}) == 1
        with pytest.raises(AnswerTooLarge, match="larger than max"):
            await client.txn(Txn((), (get_prefix(b"big/"),)))


async def test_a_request_above_the_limit_is_named_so(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        for size in (1_700_000, 3_000_000):
            with pytest.raises(RequestTooLarge):
                await write(client, b"k", bytes(size))


async def _fill(client: EtcdClient) -> None:
    """Far past the quota: etcd counts what it wrote to disk, which it does ten times a second."""
    for _ in range(5_000):
        await write(client, b"0", bytes(20_000))


async def test_a_full_etcd_says_so_and_still_reads(start_etcd: StartEtcd) -> None:
    etcd = await start_etcd(1, EtcdOptions(extra_args=("--quota-backend-bytes=200000",)))
    async with connected(etcd.endpoints) as client:
        lease = await client.lease_grant(60)
        with pytest.raises(NoSpace):
            await _fill(client)
        with pytest.raises(NoSpace):
            await client.lease_grant(60)
        assert (await client.get(b"0")).kv is not None
        assert await client.keep_alive_once(lease.id, timeout_s=5.0) == 60
        (status,) = await client.status()
        assert status.alarms == ("NOSPACE",)
        assert status.db_bytes > 100_000


async def test_many_calls_at_once_share_one_connection(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client, asyncio.TaskGroup() as tasks:
        for number in range(300):
            tasks.create_task(write(client, b"%d" % number, b"v"), name=f"write {number}")
    async with connected(etcd.endpoints) as client:
        assert len((await client.range(b"")).kvs) == 300
