"""Lookups at a timestamp: today's collections from memory, former ones from the snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from milvus_coord.coordinators.rootcoord.metadata import catalog_keys as keys
from milvus_coord.coordinators.rootcoord.metadata.time_travel import MAX_TIMESTAMP, TimeTravel
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.model.collection import CollectionState, PartitionState
from milvus_coord.model.database import Alias, Database, DatabaseNotFound
from milvus_coord.model.errors import BadValue, CollectionNotFound
from milvus_coord.model.timestamps import Timestamp
from testing.metadata import collection, partition, ts
from testing.metadata_world import MetaWorld, meta_world

NOW = [Timestamp(0), MAX_TIMESTAMP]


@pytest.fixture
async def world() -> AsyncIterator[MetaWorld]:
    """c7 from ts(10) on; c8 from ts(10), dropped at ts(20), gone; c7 has p1 from ts(15) on."""
    async with meta_world() as world:
        for number in (7, 8):
            c = collection(number, state=CollectionState.CREATING, created_at=ts(10))
            first = partition(number, 1, "_default", created_at=ts(10))
            await commit(world.catalog.create_collection(c, [first], ts(10)), world)
            await commit(world.catalog.put_collection(made(number), ts(10)), world)
        await commit(world.catalog.put_partition(partition(7, 2, "p"), ts(15)), world)
        await commit(world.catalog.put_partition(partition(8, 2, "p"), ts(15)), world)
        gone = replace(made(8), state=CollectionState.DROPPING)
        await commit(world.catalog.put_collection(gone, ts(20)), world)
        parts = world.metadata.state.partitions(8)
        await commit(world.catalog.drop_collection(gone, parts, (), ts(30)), world)
        yield world


async def commit(transactions: Any, world: MetaWorld) -> None:
    await world.metadata.commit(transactions)


def made(number: int) -> Any:
    return collection(number, created_at=ts(10))


@pytest.fixture
def travel(world: MetaWorld) -> TimeTravel:
    return TimeTravel(world.reader, world.metadata)


@pytest.mark.parametrize("now", NOW)
async def test_now_is_answered_without_etcd(
    world: MetaWorld, travel: TimeTravel, now: Timestamp
) -> None:
    world.reader.partition()
    assert (await travel.collection_named("", "c7", now)).collection == made(7)
    assert (await travel.collection_by_id("", 7, now)).collection == made(7)
    assert [c.id for c in await travel.collections_at("", now)] == [7]
    with pytest.raises(CollectionNotFound, match="can't find collection default:c8"):
        await travel.collection_named("", "c8", now)
    with pytest.raises(CollectionNotFound, match="can't find collection: 8"):
        await travel.collection_by_id("", 8, now, any_state=True)


async def test_what_is_there_is_shown_as_it_is_now(world: MetaWorld, travel: TimeTravel) -> None:
    """Go 2.2.16 shows a partition of later, too."""
    world.reader.partition()
    for found in (
        await travel.collection_named("default", "c7", ts(11)),
        await travel.collection_by_id("default", 7, ts(11)),
    ):
        assert found.collection == made(7)
        assert [p.name for p in found.partitions] == ["_default", "p"]


@pytest.mark.parametrize(("at", "names"), [(10, ["_default"]), (17, ["_default", "p"])])
async def test_what_is_gone_is_read_as_it_was(
    travel: TimeTravel, at: int, names: list[str]
) -> None:
    for found in (
        await travel.collection_named("", "c8", ts(at)),
        await travel.collection_by_id("", 8, ts(at)),
    ):
        assert found.collection == made(8)
        assert [p.name for p in found.partitions] == names


@pytest.mark.parametrize("at", [5, 30, 31])
async def test_what_was_not_there(travel: TimeTravel, at: int) -> None:
    words = rf"can't find collection 1:c8, at timestamp = {ts(at)}$"
    with pytest.raises(CollectionNotFound, match=words):
        await travel.collection_named("", "c8", ts(at))
    with pytest.raises(CollectionNotFound, match="collection not found: 8, error: "):
        await travel.collection_by_id("", 8, ts(at))


async def test_what_was_being_dropped(travel: TimeTravel) -> None:
    with pytest.raises(CollectionNotFound, match="can't find collection default:c8"):
        await travel.collection_named("", "c8", ts(25))
    with pytest.raises(CollectionNotFound, match="can't find collection default:c8"):
        await travel.collection_by_id("", 8, ts(25))
    found = await travel.collection_by_id("", 8, ts(25), any_state=True)
    assert found.collection.state is CollectionState.DROPPING


@pytest.mark.parametrize(("at", "ids"), [(5, []), (10, [7, 8]), (19, [7, 8]), (25, [7]), (99, [7])])
async def test_lists(travel: TimeTravel, at: int, ids: list[int]) -> None:
    found = await travel.collections_at("default", ts(at))
    assert [c.id for c in found] == ids
    assert all(not c.fields for c in found)
    with pytest.raises(DatabaseNotFound):
        await travel.collections_at("nowhere", ts(at))


async def test_partitions_that_were_being_dropped_are_hidden(
    world: MetaWorld, travel: TimeTravel
) -> None:
    dropping = partition(8, 2, "p", state=PartitionState.DROPPING)
    key = keys.partition_key(8, 2)
    value = world.catalog.put_partition(dropping, ts(16))[0][1]
    await world.other.txn(Txn((), (value,)))
    found = await travel.collection_by_id("", 8, ts(17))
    assert [p.name for p in found.partitions] == ["_default"], key
    found = await travel.collection_by_id("", 8, ts(17), any_state=True)
    assert [p.name for p in found.partitions] == ["_default", "p"]


async def test_aliases_are_those_of_today(world: MetaWorld, travel: TimeTravel) -> None:
    await commit(world.catalog.put_alias(Alias("a", 1, 8, ts(40)), ts(40)), world)
    assert (await travel.collection_named("", "a", ts(12))).collection.id == 8


async def test_a_name_that_was_anothers(world: MetaWorld, travel: TimeTravel) -> None:
    later = collection(9, "c8", created_at=ts(50), state=CollectionState.CREATING)
    await commit(world.catalog.create_collection(later, [], ts(50)), world)
    created = replace(later, state=CollectionState.CREATED)
    await commit(world.catalog.put_collection(created, ts(50)), world)
    assert (await travel.collection_named("", "c8", ts(55))).collection.id == 9
    assert (await travel.collection_named("", "c8", ts(12))).collection.id == 8


async def test_databases_are_told_apart(world: MetaWorld, travel: TimeTravel) -> None:
    await commit(world.catalog.put_database(Database(12, "twelve", 1), ts(1)), world)
    c = collection(70, "c8", db_id=12, created_at=ts(10))
    await commit(world.catalog.put_collection(c, ts(10)), world)
    dropped = world.catalog.drop_collection(c, (), (), ts(20))
    await commit(dropped, world)
    assert (await travel.collection_named("twelve", "c8", ts(12))).collection.id == 70
    assert [each.id for each in await travel.collections_at("", ts(12))] == [7, 8]


async def test_collections_of_before_databases(world: MetaWorld, travel: TimeTravel) -> None:
    c = collection(70, "old", db_id=0, created_at=ts(10))
    await commit(world.catalog.put_collection(c, ts(10)), world)
    await commit(world.catalog.drop_collection(c, (), (), ts(20)), world)
    found = await travel.collection_named("", "old", ts(12))
    assert found.collection == replace(c, fields=())
    assert [each.id for each in await travel.collections_at("", ts(12))] == [7, 8, 70]


async def test_a_key_that_never_had_a_version_has_its_only_value(
    world: MetaWorld, travel: TimeTravel
) -> None:
    c = collection(70, created_at=ts(90))
    plain = world.catalog.put_collection(c, ts(90))[0][0]
    result = await world.other.txn(Txn((), (plain,)))
    await world.mirror.reached(result.revision)
    assert (await travel.collection_by_id("", 70, ts(12))).collection.id == 70


async def test_damaged_snapshots(
    world: MetaWorld, travel: TimeTravel, capsys: pytest.CaptureFixture[str]
) -> None:
    field = world.catalog.snapshots.version(keys.field_key(8, 100), ts(10))
    await world.other.txn(Txn((), (put(field, b"\xff"),)))
    with pytest.raises(BadValue, match="fields/8/100"):
        await travel.collection_by_id("", 8, ts(12))
    record = world.catalog.snapshots.version(keys.collection_key(1, 8), ts(10))
    await world.other.txn(Txn((), (put(record, b"\xff"),)))
    assert [each.id for each in await travel.collections_at("", ts(12))] == [7]
    assert "collection-info/1/8" in capsys.readouterr().out
