"""The twin's own words: trouble on demand, and time that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from milvus_coord.etcd.errors import (
    Compacted,
    LeaseNotFound,
    NoSpace,
    PermissionDenied,
    Unavailable,
)
from milvus_coord.etcd.follow import follow_prefix
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.etcd.values import Batch, EventKind, Listing
from milvus_coord.runtime.clock import ManualClock
from testing.following import following
from testing.role_world import turns

T = TypeVar("T")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def etcd(clock: ManualClock) -> MemoryEtcd:
    return MemoryEtcd(clock)


async def write(etcd: MemoryEtcd, key: bytes, value: bytes, lease: int = 0) -> int:
    return (await etcd.txn(Txn((), (put(key, value, lease),)))).revision


async def soon(awaitable: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaitable, 5.0)


async def test_a_planned_failure_happens_once_and_changes_nothing(etcd: MemoryEtcd) -> None:
    etcd.fail_next("txn", NoSpace("full"))
    with pytest.raises(NoSpace):
        await write(etcd, b"k", b"1")
    assert (await etcd.get(b"k")).kv is None
    assert await write(etcd, b"k", b"1") == 2


async def test_a_lost_answer_leaves_its_effect(etcd: MemoryEtcd) -> None:
    etcd.fail_next("txn", Unavailable("lost", sent=True), applied=True, times=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await write(etcd, b"k", b"1")
    found = (await etcd.get(b"k")).kv
    assert found is not None
    assert found.version == 2


async def test_a_partition_cuts_one_client_off_and_not_its_peer(etcd: MemoryEtcd) -> None:
    peer = etcd.peer()
    watch = etcd.watch(b"k", start_revision=1)
    etcd.partition()
    with pytest.raises(Unavailable) as caught:
        await etcd.get(b"k")
    assert not caught.value.sent
    assert (await etcd.status())[0].error
    revision = await write(peer, b"k", b"1")
    waiting = asyncio.ensure_future(anext(watch))
    await turns()
    assert not waiting.done()
    etcd.heal()
    assert (await soon(waiting)).revision == revision


async def test_a_silent_partition_takes_the_whole_timeout(
    etcd: MemoryEtcd, clock: ManualClock
) -> None:
    etcd.partition(silent=True)
    calls = [
        asyncio.ensure_future(etcd.get(b"k", timeout_s=3.0)),
        asyncio.ensure_future(etcd.keep_alive_once(1, timeout_s=1.0)),
    ]
    await turns()
    clock.advance(1.0)
    await turns()
    assert [call.done() for call in calls] == [False, True]
    clock.advance(2.0)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(r, Unavailable) and r.sent for r in results] == [True, True]


async def test_leases_end_by_the_clock_alone(etcd: MemoryEtcd, clock: ManualClock) -> None:
    lease = await etcd.lease_grant(10)
    revision = await write(etcd, b"k", b"1", lease.id)
    clock.advance(9.0)
    assert (await etcd.lease_time_to_live(lease.id)).ttl_s == 1
    assert await etcd.keep_alive_once(lease.id, timeout_s=1.0) == 10
    watch = etcd.watch(b"k", start_revision=revision + 1)
    waiting = asyncio.ensure_future(anext(watch))
    clock.advance(9.9)
    await turns()
    assert not waiting.done()
    clock.advance(0.1)
    assert (await soon(waiting)).events[0].kind is EventKind.DELETE
    with pytest.raises(LeaseNotFound):
        await etcd.keep_alive_once(lease.id, timeout_s=1.0)


async def test_a_renewed_lease_outlives_the_alarm_of_its_first_end(
    etcd: MemoryEtcd, clock: ManualClock
) -> None:
    lease = await etcd.lease_grant(10)
    revision = await write(etcd, b"k", b"1", lease.id)
    waiting = asyncio.ensure_future(anext(etcd.watch(b"k", start_revision=revision + 1)))
    await turns()
    clock.advance(5.0)
    await etcd.keep_alive_once(lease.id, timeout_s=1.0)
    clock.advance(5.0)
    await turns()
    assert not waiting.done()
    clock.advance(5.0)
    assert (await soon(waiting)).events[0].kind is EventKind.DELETE


async def test_after_a_compaction_follow_lists_anew(etcd: MemoryEtcd, clock: ManualClock) -> None:
    peer = etcd.peer()
    for name in (b"f/stays", b"f/changes", b"f/goes"):
        await write(etcd, name, b"1")
    async with following(etcd, clock, b"f/") as news:
        assert isinstance(await soon(news.get()), Listing)
        etcd.partition()
        await turns()
        await write(peer, b"f/changes", b"2")
        await peer.txn(Txn((), (delete(b"f/goes"),)))
        last = await write(peer, b"f/new", b"1")
        peer.compact()
        etcd.heal()
        listing = await soon(news.get())
        assert isinstance(listing, Listing)
        assert listing.revision == last
        there = {kv.key: kv.value for kv in listing.kvs}
        assert there == {b"f/changes": b"2", b"f/new": b"1", b"f/stays": b"1"}
        revision = await write(peer, b"f/stays", b"2")
        batch = await soon(news.get())
        assert isinstance(batch, Batch)
        assert (batch.revision, news.empty()) == (revision, True)


async def test_follow_waits_out_an_etcd_that_cannot_be_read(
    etcd: MemoryEtcd, clock: ManualClock
) -> None:
    etcd.fail_next("range", Unavailable("down", sent=False), times=2)
    async with following(etcd, clock, b"f/") as news:
        for _ in range(2):
            await turns()
            assert news.empty()
            clock.advance(1.0)
        assert await soon(news.get()) == Listing((), 1)


async def test_follow_raises_what_it_is_not_to_wait_out(
    etcd: MemoryEtcd, clock: ManualClock
) -> None:
    etcd.fail_next("range", PermissionDenied("no"))
    with pytest.raises(PermissionDenied):
        await follow_prefix(etcd, clock, b"f/", print, what="keys", on=(Unavailable,))


async def test_a_restored_store_ends_watches_and_pages(etcd: MemoryEtcd) -> None:
    await write(etcd, b"a", b"1")
    backup = etcd.store.snapshot()
    await write(etcd, b"a", b"2")
    peer, version = etcd.peer(), etcd.replaced.version()
    peer.partition()
    watch = etcd.watch(b"a", start_revision=1)
    pages = etcd.pages(b"a", b"z", page_keys=1)
    await write(etcd, b"b", b"1")
    assert [kv.value for kv in (await anext(pages)).kvs] == [b"2"]
    etcd.store.restore(backup, revision=100)
    await soon(etcd.replaced.wait(since=version))
    for stream in (anext(watch), anext(pages)):
        with pytest.raises(Compacted):
            await soon(stream)
    assert peer.replaced.version() == 0
    peer.heal()
    assert peer.replaced.version() == 1
    found = await etcd.get(b"a")
    assert found.kv is not None
    assert (found.kv.value, found.revision) == (b"1", 100)
