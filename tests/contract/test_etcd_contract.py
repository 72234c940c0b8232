"""What `protocol.Etcd` promises, asked of the real etcd and of its twin in memory alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import (
    Compacted,
    InvalidRequest,
    LeaseNotFound,
    TooManyOperations,
)
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import (
    Compare,
    Delete,
    DeleteResult,
    PutResult,
    Txn,
    delete,
    get,
    lease_is,
    mod_revision_is,
    put,
    value_is,
    version_is,
)
from milvus_coord.etcd.values import Batch, Event, EventKind, Listing, RangeResult
from milvus_coord.runtime.clock import ManualClock, SystemClock
from testing.etcd import EtcdMember
from testing.following import following
from tests.contract.etcd_helpers import create_revision_is, delete_prefix, get_prefix

pytestmark = pytest.mark.etcd

SOON_S = 10.0


@dataclass
class World:
    """One etcd of either kind; `let_pass` moves a manual clock, and a real one needs no help."""

    etcd: Etcd
    compact: Callable[[int], Awaitable[object]]
    let_pass: Callable[[float], None]

    async def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        return (await self.etcd.txn(Txn((), (put(key, value, lease),)))).revision

    async def delete(self, key: bytes) -> int:
        return (await self.etcd.txn(Txn((), (delete(key),)))).revision

    async def holds(self, *compares: Compare) -> bool:
        return (await self.etcd.txn(Txn(compares, ()))).succeeded


@pytest.fixture(params=["memory", "etcd"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        clock = ManualClock()
        twin = MemoryEtcd(clock)

        async def compact_twin(revision: int) -> None:
            twin.compact(revision)

        yield World(twin, compact_twin, clock.advance)
        return
    member = EtcdMember("solo", tmp_path / "etcd")
    try:
        await member.start()
        client = EtcdClient(EtcdSettings(member.endpoints), SystemClock())
        await client.connect()
        yield World(client, lambda revision: member.ctl("compact", str(revision)), lambda _: None)
        await client.close()
    finally:
        member.kill()


async def test_an_absent_key_reads_as_none_at_the_stores_revision(world: World) -> None:
    result = await world.etcd.get(b"k")
    assert (result.kv, result.revision) == (None, 1)
    assert (await world.etcd.get(b"k", serializable=True)).kv is None


async def test_a_key_counts_its_writes_and_remembers_its_birth(world: World) -> None:
    first = await world.put(b"k", b"1")
    second = await world.put(b"k", b"2")
    assert second == first + 1
    found = await world.etcd.get(b"k")
    assert found.kv is not None
    assert (found.kv.value, found.kv.version, found.kv.lease) == (b"2", 2, 0)
    assert (found.kv.create_revision, found.kv.mod_revision) == (first, second)
    await world.delete(b"k")
    again = await world.put(b"k", b"3")
    reborn = (await world.etcd.get(b"k")).kv
    assert reborn is not None
    assert (reborn.version, reborn.create_revision) == (1, again)


async def test_comparisons_of_an_absent_key_see_zeros_and_no_value(world: World) -> None:
    for compare in (version_is, create_revision_is, mod_revision_is, lease_is):
        assert await world.holds(compare(b"k", 0))
        assert not await world.holds(compare(b"k", 1))
    assert not await world.holds(value_is(b"k", b""))


async def test_comparisons_of_a_key(world: World) -> None:
    lease = (await world.etcd.lease_grant(60)).id
    created = await world.put(b"k", b"1")
    modified = await world.put(b"k", b"2", lease)
    right = (
        version_is(b"k", 2),
        create_revision_is(b"k", created),
        mod_revision_is(b"k", modified),
        value_is(b"k", b"2"),
        lease_is(b"k", lease),
    )
    assert await world.holds(*right)
    for compare in right:
        wrong = b"1" if isinstance(compare.operand, bytes) else compare.operand + 1
        assert not await world.holds(Compare(compare.target, b"k", wrong))
    assert not await world.holds(*right, version_is(b"other", 1))


async def test_a_put_without_a_lease_takes_the_key_off_its_lease(world: World) -> None:
    lease = (await world.etcd.lease_grant(60)).id
    await world.put(b"k", b"1", lease)
    await world.put(b"k", b"2")
    assert await world.holds(lease_is(b"k", 0))
    await world.etcd.lease_revoke(lease)
    assert (await world.etcd.get(b"k")).kv is not None


async def test_a_transaction_runs_one_branch_and_answers_each_operation(world: World) -> None:
    await world.put(b"a/1", b"x")
    await world.put(b"a/2", b"y")
    txn = Txn(
        (version_is(b"a/1", 1),),
        (put(b"b", b"z"), delete_prefix(b"a/"), get(b"b"), get_prefix(b"a/"), delete(b"none")),
        (get(b"a/1"),),
    )
    first = await world.etcd.txn(txn)
    assert first.succeeded
    assert first.responses[:2] == (PutResult(), DeleteResult(2))
    written = first.kv(2)
    assert written is not None
    assert (written.value, written.mod_revision) == (b"z", first.revision)
    assert first.responses[3:] == (RangeResult((), first.revision), DeleteResult(0))
    assert first.kv(3) is None
    with pytest.raises(TypeError):
        first.kv(0)
    second = await world.etcd.txn(txn)
    assert not second.succeeded
    assert second.responses == (RangeResult((), first.revision),)
    assert second.revision == first.revision


async def test_a_transaction_that_changes_nothing_makes_no_revision(world: World) -> None:
    before = (await world.etcd.get(b"k")).revision
    result = await world.etcd.txn(Txn((), (delete(b"k"), get(b"k"))))
    assert result.revision == before


async def test_etcd_takes_128_of_each_list_and_not_one_more(world: World) -> None:
    compares = tuple(version_is(b"%d" % i, 0) for i in range(128))
    puts = tuple(put(b"%d" % i, b"") for i in range(128))
    assert (await world.etcd.txn(Txn(compares, puts, puts))).succeeded
    for txn in (
        Txn((*compares, version_is(b"x", 0)), ()),
        Txn((), (*puts, put(b"x", b""))),
        Txn((), (), (*puts, put(b"x", b""))),
    ):
        with pytest.raises(TooManyOperations):
            await world.etcd.txn(txn)


async def test_one_key_is_written_at_most_once_in_a_branch(world: World) -> None:
    for ops in (
        (put(b"a/1", b"1"), put(b"a/1", b"2")),
        (put(b"a/1", b"1"), delete(b"a/1")),
        (delete_prefix(b"a/"), put(b"a/1", b"1")),
    ):
        with pytest.raises(InvalidRequest):
            await world.etcd.txn(Txn((), ops))
    assert (await world.etcd.get(b"a/1")).revision == 1


async def test_a_range_holds_the_prefix_in_order_at_any_kept_revision(world: World) -> None:
    for key in (b"p/b", b"p/a", b"p", b"p0", b"q"):
        revision = await world.put(key, b"1")
    await world.delete(b"p/a")
    now = await world.etcd.range(b"p/")
    assert [kv.key for kv in now.kvs] == [b"p/b"]
    then = await world.etcd.range(b"p/", revision=revision, page_keys=1)
    assert [kv.key for kv in then.kvs] == [b"p/a", b"p/b"]
    assert (then.revision, now.revision) == (revision, revision + 1)
    everything = await world.etcd.range(b"", page_keys=2)
    assert [kv.key for kv in everything.kvs] == [b"p", b"p/b", b"p0", b"q"]
    await world.compact(revision + 1)
    with pytest.raises(Compacted):
        await world.etcd.range(b"p/", revision=revision)


async def test_pages_are_of_one_revision_and_in_order(world: World) -> None:
    keys = [b"p/%03d" % number for number in range(10)]
    for key in (*keys, b"p0", b"q"):
        revision = await world.put(key, b"1")
    pages = world.etcd.pages(b"p/", b"p1", page_keys=4)
    async with aclosing(world.etcd.pages(b"p/", b"p1", page_keys=1)) as given_up:
        await anext(given_up)
    first = await anext(pages)
    await world.delete(keys[9])
    await world.put(b"p/5", b"new")
    rest = [page async for page in pages]
    assert {page.revision for page in (first, *rest)} == {revision}
    assert max(len(page.kvs) for page in (first, *rest)) <= 4
    found = [kv.key for page in (first, *rest) for kv in page.kvs]
    assert found == [*keys, b"p0"]
    later = [page async for page in world.etcd.pages(b"p/", b"p1", revision=revision)]
    assert [kv.key for page in later for kv in page.kvs] == found


async def test_an_empty_range_is_one_empty_page(world: World) -> None:
    revision = await world.put(b"q", b"1")
    pages = [page async for page in world.etcd.pages(b"p", b"q")]
    assert pages == [RangeResult((), revision)]


async def test_pages_end_when_their_revision_is_compacted(world: World) -> None:
    for number in range(8):
        await world.put(b"p/%d" % number, b"1")
    pages = world.etcd.pages(b"p/", b"p0", page_keys=2)
    first = await anext(pages)
    await world.compact(await world.put(b"q", b"1"))
    with pytest.raises(Compacted):
        _ = [page async for page in pages]
    with pytest.raises(Compacted):
        await anext(world.etcd.pages(b"p/", b"p0", revision=first.revision))


async def test_a_watch_of_a_range_sees_what_is_in_it(world: World) -> None:
    async with aclosing(world.etcd.watch(b"b", end=b"d", start_revision=1)) as watch:
        for key in (b"a", b"b", b"c/1", b"d"):
            last = await world.put(key, b"1")
        await world.delete(b"c/1")
        found: list[tuple[EventKind, bytes]] = []
        async with asyncio.timeout(SOON_S):
            while len(found) < 3:
                batch = await anext(watch)
                found += [(event.kind, event.kv.key) for event in batch.events]
    put_, deleted = EventKind.PUT, EventKind.DELETE
    assert found == [(put_, b"b"), (put_, b"c/1"), (deleted, b"c/1")]
    assert batch.revision == last + 1


async def test_prefixes_of_high_bytes(world: World) -> None:
    for key in (b"a\xff", b"a\xff\x01", b"b", b"\xff", b"\xff\xff"):
        await world.put(key, b"")
    assert [kv.key for kv in (await world.etcd.range(b"a\xff")).kvs] == [b"a\xff", b"a\xff\x01"]
    assert [kv.key for kv in (await world.etcd.range(b"\xff")).kvs] == [b"\xff", b"\xff\xff"]
    found = await world.etcd.txn(Txn((), (get_prefix(b""), Delete(b"b", b"\x00"))))
    assert found.responses[1] == DeleteResult(3)


async def test_a_revoked_lease_takes_its_keys_along_in_one_revision(world: World) -> None:
    lease = await world.etcd.lease_grant(60)
    assert lease.ttl_s == 60
    await world.put(b"k/b", b"1", lease.id)
    last = await world.put(b"k/a", b"1", lease.id)
    async with aclosing(world.etcd.watch(b"k/", prefix=True, start_revision=last + 1)) as watch:
        await world.etcd.lease_revoke(lease.id)
        batch = await asyncio.wait_for(anext(watch), SOON_S)
    assert batch.revision == last + 1
    assert {event.kv.key for event in batch.events} == {b"k/a", b"k/b"}
    for event in batch.events:
        assert event.kind is EventKind.DELETE


async def test_whatever_is_asked_of_a_dead_lease_says_so(world: World) -> None:
    lease = (await world.etcd.lease_grant(60)).id
    status = await world.etcd.lease_time_to_live(lease)
    assert status.granted_ttl_s == 60
    assert 58 <= status.ttl_s <= 60
    assert await world.etcd.keep_alive_once(lease, timeout_s=SOON_S) == 60
    await world.etcd.lease_revoke(lease)
    assert (await world.etcd.lease_time_to_live(lease)).ttl_s == -1
    with pytest.raises(LeaseNotFound):
        await world.etcd.keep_alive_once(lease, timeout_s=SOON_S)
    with pytest.raises(LeaseNotFound):
        await world.etcd.lease_revoke(lease)
    with pytest.raises(LeaseNotFound):
        await world.put(b"k", b"1", lease)
    assert (await world.etcd.get(b"k")).kv is None


async def test_an_expired_lease_deletes_its_keys_under_a_waiting_watch(world: World) -> None:
    lease = await world.etcd.lease_grant(1)
    assert lease.ttl_s >= 1
    revision = await world.put(b"k", b"1", lease.id)
    async with aclosing(world.etcd.watch(b"k", start_revision=revision + 1)) as watch:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(anext(watch), name="waiting")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            world.let_pass(lease.ttl_s)
        assert [event.kind for event in waiting.result().events] == [EventKind.DELETE]
    assert (await world.etcd.lease_time_to_live(lease.id)).ttl_s == -1


async def test_a_watch_delivers_history_and_present_of_its_keys_only(world: World) -> None:
    first = await world.put(b"w/a", b"1")
    await world.put(b"other", b"x")
    await world.put(b"w/a", b"2")
    await world.delete(b"w/a")
    events: list[Event] = []
    async with aclosing(world.etcd.watch(b"w/", prefix=True, start_revision=first)) as watch:
        while len(events) < 3:
            batch = await asyncio.wait_for(anext(watch), SOON_S)
            assert batch.revision == batch.events[-1].kv.mod_revision
            events += batch.events
        last = await world.put(b"w/b", b"3")
        live = await asyncio.wait_for(anext(watch), SOON_S)
    assert [(e.kind.value, e.kv.value) for e in events] == [
        ("put", b"1"),
        ("put", b"2"),
        ("delete", b""),
    ]
    deleted = events[2].kv
    assert (deleted.version, deleted.create_revision, deleted.mod_revision) == (0, 0, first + 3)
    assert (live.revision, live.events[0].kv.key) == (last, b"w/b")


async def test_a_watch_of_one_key_ignores_longer_ones(world: World) -> None:
    async with aclosing(world.etcd.watch(b"k", start_revision=1)) as watch:
        await world.put(b"k/1", b"")
        revision = await world.put(b"k", b"")
        assert (await asyncio.wait_for(anext(watch), SOON_S)).revision == revision


async def test_a_transaction_reaches_the_watch_in_one_piece(world: World) -> None:
    async with aclosing(world.etcd.watch(b"k/", prefix=True, start_revision=1)) as watch:
        ops = tuple(put(b"k/%03d" % i, b"v" * 1000) for i in range(128))
        result = await world.etcd.txn(Txn((), ops))
        batch = await asyncio.wait_for(anext(watch), SOON_S)
    assert (batch.revision, len(batch.events)) == (result.revision, 128)
    assert [event.kv.key for event in batch.events] == [op.key for op in ops]


async def test_a_cancelled_wait_loses_nothing(world: World) -> None:
    async with aclosing(world.etcd.watch(b"k", start_revision=1)) as watch:
        for number in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.03)
            revision = await world.put(b"k", b"%d" % number)
            assert (await asyncio.wait_for(anext(watch), SOON_S)).revision == revision


async def test_a_watch_of_compacted_history_says_where_it_begins(world: World) -> None:
    for number in range(4):
        revision = await world.put(b"k", b"%d" % number)
    await world.compact(revision)
    async with aclosing(world.etcd.watch(b"k", start_revision=2)) as watch:
        with pytest.raises(Compacted) as caught:
            await asyncio.wait_for(anext(watch), SOON_S)
    assert caught.value.revision == revision
    async with aclosing(world.etcd.watch(b"k", start_revision=revision)) as watch:
        assert (await asyncio.wait_for(anext(watch), SOON_S)).revision == revision


async def test_follow_lists_and_then_tells_every_change(world: World) -> None:
    await world.put(b"f/a", b"1")
    revision = await world.put(b"f/b", b"1")
    async with following(world.etcd, SystemClock(), b"f/") as news:
        listing = await asyncio.wait_for(news.get(), SOON_S)
        assert isinstance(listing, Listing)
        assert [kv.key for kv in listing.kvs] == [b"f/a", b"f/b"]
        assert listing.revision == revision
        await world.put(b"f/a", b"2")
        batch = await asyncio.wait_for(news.get(), SOON_S)
        assert isinstance(batch, Batch)
        assert batch.events[0].kv.value == b"2"
        await world.delete(b"f/b")
        gone = await asyncio.wait_for(news.get(), SOON_S)
        assert isinstance(gone, Batch)
        assert (gone.events[0].kind, gone.events[0].kv.key) == (EventKind.DELETE, b"f/b")
    async with following(world.etcd, SystemClock(), b"f/b") as news:
        assert await asyncio.wait_for(news.get(), SOON_S) == Listing((), revision + 2)


async def test_status_names_a_leader_and_no_alarm(world: World) -> None:
    (member,) = await world.etcd.status()
    assert (member.is_leader, member.has_leader, member.alarms) == (True, True, ())
    assert member.version.startswith("3.")
    assert member.error == ""
