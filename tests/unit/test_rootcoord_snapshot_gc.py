"""What the hourly collection deletes, and what it must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import TOMBSTONE
from milvus_coord.coordinators.rootcoord.metadata.snapshot_gc import EVERY_S, SnapshotGc
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.txn import Delete, Txn, put
from milvus_coord.model.collection import CollectionState
from milvus_coord.model.database import Alias
from milvus_coord.model.errors import FencedOff
from milvus_coord.model.timestamps import Timestamp, compose, physical_ms
from milvus_coord.runtime.race import cancel_and_wait
from testing.metadata import collection, partition, ts
from testing.metadata_world import MetaWorld, meta_world

ALIAS = "root-coord/database/aliases/1/a"


@pytest.fixture
async def world() -> AsyncIterator[MetaWorld]:
    """At a wall time past ts(999)."""
    async with meta_world() as world:
        world.clock.step_wall(1000.0)
        yield world


def collector(world: MetaWorld, retention_s: float = 0.0) -> SnapshotGc:
    return SnapshotGc(world.etcd, world.fence, world.clock, world.catalog, lambda: retention_s)


async def alias(world: MetaWorld, at: int | Timestamp, to: int | None) -> None:
    """Point `a` to a collection, or drop it."""
    when = ts(at) if at < 1000 else Timestamp(at)
    if to is None:
        await world.metadata.commit(world.catalog.drop_alias(1, "a", when))
    else:
        await world.metadata.commit(world.catalog.put_alias(Alias("a", 1, to, when), when))


def of_alias(world: MetaWorld) -> list[str]:
    return [key for key in world.stored() if "aliases" in key]


async def test_what_is_there_keeps_its_versions(world: MetaWorld) -> None:
    for number in range(3):
        await alias(world, number + 1, 7 + number)
    before = world.stored()
    assert await collector(world).collect() == 0
    assert world.stored() == before


async def test_what_is_gone_goes_with_its_plain_key(world: MetaWorld) -> None:
    await alias(world, 1, 7)
    await alias(world, 2, 8)
    await alias(world, 3, None)
    assert len(of_alias(world)) == 4
    assert await collector(world).collect() == 4
    assert of_alias(world) == []
    assert await collector(world).collect() == 0


async def test_what_came_back_keeps_its_versions(world: MetaWorld) -> None:
    await alias(world, 1, 7)
    await alias(world, 2, None)
    await alias(world, 3, 8)
    assert await collector(world).collect() == 0


async def test_versions_are_ordered_by_number(world: MetaWorld) -> None:
    """Ten comes after nine, though not as text."""
    await alias(world, compose(999_999, 0), 7)
    await alias(world, compose(9_999_999, 0), None)
    assert await collector(world).collect() == 3


async def test_it_reads_page_by_page_and_parts_keys_that_lie_within_each_other(
    world: MetaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The versions of `a_ts1` lie between those of `a`."""
    for number, name in enumerate(("a", "a_ts1"), 1):
        made, gone = Timestamp(number), Timestamp(number + 2)
        await world.metadata.commit(world.catalog.put_alias(Alias(name, 1, 7, made), made))
        await world.metadata.commit(world.catalog.drop_alias(1, name, gone))
    monkeypatch.setattr(world.etcd, "range", None)
    monkeypatch.setattr(world.etcd, "pages", partial(world.etcd.pages, page_keys=2))
    assert await collector(world).collect() == 6
    assert of_alias(world) == []


async def test_retention_counts_from_the_timestamp(world: MetaWorld) -> None:
    world.clock.step_wall(physical_ms(ts(110)) / 1000 - world.clock.wall_ns() / 1e9)
    await alias(world, 1, 7)
    await alias(world, 100, None)
    assert await collector(world, retention_s=1000).collect() == 0
    assert await collector(world, retention_s=60).collect() == 1
    assert of_alias(world) == [ALIAS, f"snapshots/{ALIAS}_ts{ts(100)}"]
    assert set(world.stored("root-coord/database/aliases").values()) == {TOMBSTONE}
    assert await collector(world, retention_s=10).collect() == 0
    world.clock.step_wall(1.0)
    assert await collector(world, retention_s=10).collect() == 2
    assert of_alias(world) == []


async def test_a_whole_collection(world: MetaWorld) -> None:
    c = collection(7, state=CollectionState.CREATING)
    parts = [partition(7, 100 + number) for number in range(150)]
    before = world.stored()
    await world.metadata.commit(world.catalog.create_collection(c, parts, ts(1)))
    dropped = world.catalog.drop_collection(c, parts, (), ts(2))
    await world.metadata.commit(dropped)
    assert await collector(world).collect() == 3 * (1 + 4 + 150)
    assert world.stored() == before


async def test_many_versions_go_oldest_first_in_several_transactions(world: MetaWorld) -> None:
    for number in range(1, 250):
        await alias(world, number, 7 + number)
    await alias(world, 250, None)
    sent: list[list[str]] = []
    send = world.etcd.txn

    async def spy(txn: Txn, **options: Any) -> Any:
        sent.append([op.key.decode() for op in txn.then if isinstance(op, Delete)])
        return await send(txn, **options)

    world.etcd.txn = spy  # type: ignore[method-assign] # to see the order
    assert await collector(world).collect() == 251
    assert [len(keys) for keys in sent] == [128, 123]
    everything = [key for keys in sent for key in keys]
    assert everything == [*sorted(everything[:-1]), everything[-1]]
    assert everything[-1].endswith(f"meta/{ALIAS}")


@pytest.mark.parametrize("to", [8, None])
async def test_what_is_written_meanwhile_stays(world: MetaWorld, to: int | None) -> None:
    await alias(world, 1, 7)
    await alias(world, 2, None)
    get = world.etcd.get

    async def slow(key: bytes, **options: Any) -> Any:
        answer = await get(key, **options)
        await alias(world, 3, 8)
        if to is None:
            await alias(world, 4, None)
        return answer

    world.etcd.get = slow  # type: ignore[method-assign] # others are quicker than we
    before = of_alias(world)
    assert await collector(world).collect() == 0
    assert set(before) < set(of_alias(world))


async def test_others_keys_are_left_alone(world: MetaWorld) -> None:
    await alias(world, 1, 7)
    await alias(world, 2, None)
    stray = world.catalog.snapshots.below(b"root-coord/database/aliases/1/no-version")
    other = world.catalog.snapshots.below(b"others/a_ts1")
    for key in (stray, other):
        await world.other.txn(Txn((), (put(key, TOMBSTONE),)))
    assert await collector(world).collect() == 3
    assert len(world.stored("snapshots/others")) == 1
    assert len(world.stored("snapshots/root-coord/database/aliases/1/no")) == 1


async def test_a_deposed_leader_deletes_nothing(world: MetaWorld) -> None:
    await alias(world, 1, 7)
    await alias(world, 2, None)
    former = collector(world)
    await world.begin_term()
    before = of_alias(world)
    with pytest.raises(FencedOff):
        await former.collect()
    assert of_alias(world) == before


async def test_every_hour_whatever_etcd_does(
    world: MetaWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    await alias(world, 1, 7)
    await alias(world, 2, None)
    running = asyncio.create_task(collector(world).loop().run(world.clock), name="gc")
    world.etcd.fail_next("range", Unavailable("down", sent=False))
    await world.turns(50)
    assert of_alias(world)
    world.clock.advance(EVERY_S)
    assert await world.settle(lambda: "trying in an hour" in capsys.readouterr().out)
    assert of_alias(world)
    world.clock.advance(EVERY_S)
    assert await world.settle(lambda: not of_alias(world))
    await cancel_and_wait(running)
