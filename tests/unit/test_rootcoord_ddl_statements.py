"""What each DDL statement does, step by step, and what is stored then."""

from __future__ import annotations

from typing import Any

import pytest

from milvus_coord.model.collection import CollectionState, PartitionState
from milvus_coord.model.database import Alias
from milvus_coord.model.errors import CollectionNotFound
from milvus_coord.model.schema import INT64, Field
from milvus_coord.wire.descriptors import message_class
from testing.rootcoord_world import DML, FIELDS, Term, World, wanted


def read(payload: bytes, name: str) -> Any:
    return message_class(f"milvus.proto.internal.{name}").FromString(payload)


async def test_create_collection() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a", dynamic=True, properties=(("k", "v"),)))
        found = term.collection("a")
        partitions = term.state.partitions(found.id)
        assert world.faults.story == [
            "proxies default a",
            f"send {DML}_0",
            f"send {DML}_1",
            "watch a",
        ]
        assert found.state is CollectionState.CREATED
        assert [field.id for field in found.fields] == [100, 101, 102, 0, 1]
        assert found.physical_channels == (f"{DML}_0", f"{DML}_1")
        assert found.virtual_channels == (f"{DML}_0_{found.id}v0", f"{DML}_1_{found.id}v1")
        assert [start.channel for start in found.start_positions] == list(found.physical_channels)
        assert all(start.position for start in found.start_positions)
        assert (found.shards, found.consistency_level, found.db_id) == (2, 1, 1)
        assert found.properties == (("k", "v"),)
        assert [(p.name, p.created_at) for p in partitions] == [("_default", found.created_at)]
        assert world.effects.watched[0].start_positions == found.start_positions
        for channel, payload in world.effects.sent:
            message = read(payload, "CreateCollectionRequest")
            assert message.base.timestamp == found.created_at
            assert list(message.partitionIDs) == [p.id for p in partitions]
            assert channel in message.physicalChannelNames
        assert term.consistent() == []


async def test_a_collection_with_a_partition_key_has_many_partitions_at_once() -> None:
    world = World()
    async with world.term() as term:
        key = (*FIELDS, Field(0, "k", INT64, is_partition_key=True))
        await term.ddl.create_collection(wanted("a", fields=key, num_partitions=64, shards=0))
        found = term.collection("a")
        partitions = term.state.partitions(found.id)
        assert [p.name for p in partitions] == [f"_default_{i}" for i in range(64)]
        assert [p.id for p in partitions] == list(range(found.id + 1, found.id + 65))
        assert found.shards == 1
        assert term.consistent() == []


async def test_an_identical_create_after_a_restart_is_idempotent() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a", dynamic=True))
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a", dynamic=True))
        assert term.state.count() == 1
        assert len(world.effects.watched) == 1
        assert term.consistent() == []


async def test_an_alias_of_a_dropped_collection_does_not_let_two_of_one_name_be() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_alias("", "a", "x")
        await term.ddl.drop_collection("", "a")
        await term.ddl.create_collection(wanted("x"))
        await term.ddl.create_collection(wanted("x"))
        assert [c.name for c in term.state.collections(1)] == ["x"]


async def test_drop_collection() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_alias("", "a", "al")
        await term.ddl.create_partition("", "al", "p")
        found = term.collection("a")
        world.faults.story.clear()
        world.effects.sent.clear()
        world.effects.gc_finished = False
        await term.ddl.drop_collection("", "a")
        with pytest.raises(CollectionNotFound):
            term.collection("a")
        await world.until(lambda: bool(world.faults.tried("gc")), step_s=60.0)
        assert world.faults.story == [
            f"proxies default {found.id} dropped",
            "release 7",
            "index all",
            *[f"send {channel}" for channel in found.physical_channels],
            *[f"ticked {channel}" for channel in found.physical_channels],
            "gc all",
        ]
        assert not +term.ticks.used, "no ticks needed while the data is collected"
        message = read(world.effects.sent[0][1], "DropCollectionRequest")
        assert (message.collectionName, message.collectionID) == ("a", found.id)
        assert (message.base.sourceID, message.base.msg_type) == (7, 101)
        assert world.live(f"collection-info/1/{found.id}")
        world.effects.gc_finished = True
        await world.quiet(term)
        assert world.live(str(found.id)) == {}
        assert world.live("aliases") == {}
        assert term.consistent() == []


async def test_the_name_of_a_dropped_collection_is_free_at_once() -> None:
    world = World()
    async with world.term() as term:
        world.effects.gc_finished = False
        await term.ddl.create_collection(wanted("a"))
        old = term.collection("a").id
        await term.ddl.drop_collection("", "a")
        await term.ddl.create_collection(wanted("a", shards=1))
        assert term.collection("a").id != old
        world.effects.gc_finished = True
        await world.quiet(term)
        assert term.collection("a").shards == 1, "the old one's end does not touch the new one"
        await term.ddl.drop_collection("", "a")
        await term.ddl.create_collection(wanted("b"))
        await term.ddl.create_alias("", "b", "a")
        assert term.collection("a").name == "b"
        assert term.consistent() == []


async def test_alter_collection_stores_and_sends_all_properties() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a", properties=(("x", "1"), ("y", "2"))))
        world.faults.story.clear()
        await term.ddl.alter_collection("default", "a", (("z", "3"), ("x", "9")))
        merged = (("x", "9"), ("y", "2"), ("z", "3"))
        found = term.collection("a")
        assert found.properties == merged
        assert world.effects.altered == [merged]
        assert world.faults.story == [f"proxies default {found.id}", "altered a"]
    async with world.term() as term:
        assert term.collection("a").properties == merged, "Go 2.2.16 loses them at a restart"


async def test_rename_within_a_database_and_into_another() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_database("other")
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_alias("", "a", "al")
        found = term.collection("a")
        world.faults.story.clear()
        await term.ddl.rename_collection("", "a", "", "b")
        assert world.faults.story == ["proxies default a"]
        assert term.collection("b").id == term.collection("al").id == found.id
        await term.ddl.drop_alias("", "al")
        await term.ddl.rename_collection("", "b", "other", "b")
        assert term.collection("b", "other").id == found.id
        assert term.state.by_name(1, "b") is None
        assert len(world.live(f"collection-info/{term.collection('b', 'other').db_id}/")) == 1
        assert len(world.live("collection-info/")) == 1
        await term.ddl.create_collection(wanted("a"))
        assert term.consistent() == []


async def test_partitions() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        found = term.collection("a")
        world.faults.story.clear()
        world.effects.sent.clear()
        await term.ddl.create_partition("", "a", "p")
        assert world.faults.story == [f"proxies default {found.id}"], "no message, no coordinator"
        partition = term.state.partition(found.id, "p")
        assert partition is not None
        assert partition.created_at > found.created_at
        world.faults.story.clear()
        await term.ddl.drop_partition("", "a", "p")
        assert term.state.partition(found.id, "p") is None
        assert term.state.partitions(found.id)[1].state is PartitionState.DROPPING
        await term.ddl.create_partition("", "a", "p")
        again = term.state.partition(found.id, "p")
        assert again is not None
        assert again.id != partition.id
        await world.quiet(term)
        assert world.faults.tried("proxies") == [f"default {found.id}"] * 2
        assert [step for step in world.faults.story if not step.startswith("proxies")] == [
            "index partition",
            *[f"send {channel}" for channel in found.physical_channels],
            "gc partition",
        ]
        message = read(world.effects.sent[0][1], "DropPartitionRequest")
        assert (message.partitionID, message.partition_name) == (partition.id, "p")
        assert [p.name for p in term.state.partitions(found.id)] == ["_default", "p"]
        assert term.consistent() == []


async def test_aliases() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_collection(wanted("b"))
        world.faults.story.clear()
        await term.ddl.create_alias("", "a", "al")
        await term.ddl.create_alias("", "a", "alias")
        await term.ddl.alter_alias("", "b", "al")
        assert term.collection("al").name == "b"
        await term.ddl.drop_alias("", "al")
        assert world.faults.tried("proxies") == [
            "default al,a",
            "default alias,a",
            "default al",
            "default al",
        ]
        found = term.state.alias(1, "alias")
        assert isinstance(found, Alias), "Go 2.2.16 would have dropped it with `al`"
        assert term.state.alias(1, "al") is None
        assert term.consistent() == []


async def test_databases() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_database("other")
        await term.ddl.create_collection(wanted("a", "other"))
        await term.ddl.create_collection(wanted("a"))
        assert term.collection("a").id != term.collection("a", "other").id
        world.effects.gc_finished = False
        await term.ddl.drop_collection("other", "a")
        await term.ddl.drop_database("other")
        assert term.state.database("other") is None
        world.effects.gc_finished = True
        await world.quiet(term)
        assert len(world.live("collection-info")) == 1, "nothing of a dropped database leaks"
        await term.ddl.create_database("other")
        assert term.consistent() == []


async def test_timestamps_in_snapshots_grow_key_by_key() -> None:
    world = World()
    async with world.term() as term:
        await _busy(term)
        await world.quiet(term)
    newest: dict[bytes, int] = {}
    prefix = b"by-dev/meta/snapshots/"
    for batch in world.etcd.store.history:
        for event in batch.events:
            if event.kv.key.startswith(prefix):
                key, _, ts = event.kv.key.rpartition(b"_ts")
                assert int(ts) >= newest.get(key, 0), key
                newest[key] = int(ts)
    assert len(newest) > 10


async def _busy(term: Term) -> None:
    ddl = term.ddl
    await ddl.create_database("d")
    await ddl.create_collection(wanted("a"))
    await ddl.create_partition("", "a", "p")
    await ddl.create_alias("", "a", "x")
    await ddl.alter_collection("", "x", (("k", "v"),))
    await ddl.drop_partition("", "a", "p")
    await ddl.drop_alias("", "x")
    await ddl.rename_collection("", "a", "d", "b")
    await ddl.drop_collection("d", "b")
