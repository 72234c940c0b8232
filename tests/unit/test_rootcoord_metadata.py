"""Writing through etcd and the mirror: what is shown, refused, unknown, old or damaged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import Message

from milvus_coord.coordinators.rootcoord.metadata import catalog_keys as keys
from milvus_coord.coordinators.rootcoord.metadata import catalog_values as values
from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import TOMBSTONE
from milvus_coord.coordinators.rootcoord.metadata.events import AliasHome
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.txn import Txn, put, version_is
from milvus_coord.ha.election.fence import ConditionFailed
from milvus_coord.model.collection import CollectionState
from milvus_coord.model.database import Alias
from milvus_coord.model.errors import FencedOff
from milvus_coord.wire.descriptors import message_class
from testing.metadata import META_ROOT, collection, partition, ts
from testing.metadata_world import MetaWorld, meta_world

LOST = Unavailable("the answer was lost", sent=True)


@pytest.fixture
async def world() -> AsyncIterator[MetaWorld]:
    async with meta_world() as world:
        yield world


async def create(world: MetaWorld, number: int, at: int = 1, **changes: Any) -> None:
    c = collection(number, state=CollectionState.CREATING, **changes)
    parts = [partition(number, number + 1000, "_default")]
    await world.metadata.commit(world.catalog.create_collection(c, parts, ts(at)))
    created = replace(c, state=CollectionState.CREATED)
    await world.metadata.commit(world.catalog.put_collection(created, ts(at)))


async def test_what_is_committed_is_shown(world: MetaWorld) -> None:
    await create(world, 7)
    assert world.metadata.state.resolve("", "c7") == collection(7)
    await world.metadata.commit(world.catalog.drop_alias(1, "never", ts(2)))
    parts = world.metadata.state.partitions(7)
    c = world.metadata.state.by_id(7)
    await world.metadata.commit(world.catalog.drop_collection(c, parts, (), ts(2)))
    assert world.metadata.state.collection(7) is None
    stored = world.stored("root-coord/fields/7")
    assert set(stored.values()) == {TOMBSTONE}


async def test_conditions_hold_for_the_first_transaction(world: MetaWorld) -> None:
    alias = Alias("a", 1, 7, ts(1))
    key = world.catalog.snapshots.plain(keys.alias_key(1, "a").encode())
    absent = (version_is(key, 0),)
    await world.metadata.commit(world.catalog.put_alias(alias, ts(1)) * 2, when=absent)
    with pytest.raises(ConditionFailed):
        await world.metadata.commit(world.catalog.put_alias(alias, ts(2)), when=absent)
    assert f"snapshots/root-coord/database/aliases/1/a_ts{ts(2)}" not in world.stored()


async def test_a_deposed_leader_writes_nothing(world: MetaWorld) -> None:
    former = world.metadata
    await world.begin_term()
    with pytest.raises(FencedOff):
        await former.commit(world.catalog.put_alias(Alias("a", 1, 7, ts(1)), ts(1)))
    with pytest.raises(FencedOff):
        await former.settle()
    assert world.metadata.state.alias(1, "a") is None


async def test_a_lost_request_does_not_come_through_after_settling(world: MetaWorld) -> None:
    """It is held back on its way, as in the socket of an etcd that hangs."""
    held: list[Txn] = []
    send = world.etcd.txn

    async def lose(txn: Txn, *, timeout_s: float | None = None) -> Any:
        held.append(txn)
        raise LOST

    world.etcd.txn = lose  # type: ignore[method-assign] # the link loses what it is given
    with pytest.raises(Unavailable):
        await world.metadata.commit(world.catalog.put_alias(Alias("a", 1, 7, ts(1)), ts(1)))
    world.etcd.txn = send  # type: ignore[method-assign]
    await world.metadata.settle()
    (late,) = held
    assert not (await world.other.txn(late)).succeeded
    await world.metadata.commit(world.catalog.put_alias(Alias("b", 1, 7, ts(2)), ts(2)))
    assert world.metadata.state.alias(1, "a") is None
    assert world.metadata.state.alias(1, "b") is not None


async def test_others_are_not_disturbed_by_settling(world: MetaWorld) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(30):
            alias = Alias(f"a{number}", 1, 7, ts(1))
            commit = world.metadata.commit(world.catalog.put_alias(alias, ts(1)))
            tasks.create_task(commit, name=f"alias {number}")
            if number % 5 == 0:
                tasks.create_task(world.metadata.settle(), name=f"settling {number}")
            await world.turns(number % 4)
    assert all(world.metadata.state.alias(1, f"a{number}") for number in range(30))


async def test_settlings_at_the_same_time_share_one_mark(world: MetaWorld) -> None:
    before = world.etcd.store.revision
    await asyncio.gather(*(world.metadata.settle() for _ in range(10)))
    assert world.etcd.store.revision == before + 1


async def test_commit_waits_for_a_mirror_that_is_behind(world: MetaWorld) -> None:
    world.reader.partition()
    put_alias = world.catalog.put_alias(Alias("a", 1, 7, ts(1)), ts(1))
    committing = asyncio.create_task(world.metadata.commit(put_alias), name="committing")
    await world.turns(50)
    assert not committing.done()
    world.etcd.compact()
    world.reader.heal()
    await committing
    assert world.metadata.state.alias(1, "a") is not None


async def test_old_records_are_brought_to_todays_form(world: MetaWorld) -> None:
    await create(world, 7)
    old_alias = Alias("a", 0, 7, ts(1))
    plain = world.catalog.snapshots.plain
    old = old_layout(8, "old")
    stray = message_class("milvus.proto.etcd.CollectionInfo").FromString(
        values.encode_collection(collection(7, "z"))
    )
    for key, value in (
        (keys.alias_key(1, "a", AliasHome.OLD), values.encode_alias(old_alias)),
        (keys.alias_key(1, "z", AliasHome.OLDEST), stray.SerializeToString()),
        (keys.collection_key(0, 8), old.SerializeToString()),
    ):
        result = await world.other.txn(Txn((), (put(plain(key.encode()), value),)))
        await world.mirror.reached(result.revision)
    before = world.metadata.state.by_id(8), world.metadata.state.partitions(8)
    assert world.metadata.state.resolve("", "a").id == 7
    assert world.metadata.state.resolve("", "z").id == 7

    await world.metadata.modernize()

    state = world.metadata.state
    assert (state.by_id(8), state.partitions(8)) == before
    assert state.aliases_of(7) == ("a", "z")
    assert not list(state.old_layouts())
    assert not list(state.old_aliases())
    stored = world.stored()
    assert stored["root-coord/aliases/a"] == stored["root-coord/collection-alias/z"] == TOMBSTONE
    assert stored["root-coord/fields/8/100"]
    info: Any = message_class("milvus.proto.etcd.CollectionInfo").FromString(
        stored["root-coord/collection/8"]
    )
    assert not info.schema.fields
    assert not info.partitionIDs
    revision = world.etcd.store.revision
    await world.metadata.modernize()
    assert world.etcd.store.revision == revision, "once is enough"


def old_layout(number: int, name: str) -> Message:
    message: Any = message_class("milvus.proto.etcd.CollectionInfo")(
        ID=number,
        create_time=ts(1),
        partitionIDs=[80],
        partitionNames=["_default"],
        partition_created_timestamps=[ts(1)],
    )
    message.schema.name = name
    message.schema.fields.add(fieldID=100, name="id", data_type=5)
    found: Message = message
    return found


async def test_damage_is_said_once_and_the_rest_serves(
    world: MetaWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    await create(world, 7)
    await create(world, 8)
    field = world.catalog.prefix + b"fields/7/101"
    result = await world.other.txn(Txn((), (put(field, b"\xff\xff"),)))
    await world.mirror.reached(result.revision)
    world.reader.partition()
    await world.other.txn(Txn((), (put(b"by-dev/else", b""),)))
    other = await world.other.txn(Txn((), (put(world.catalog.prefix + b"x", b""),)))
    world.etcd.compact()
    image = world.mirror.image
    world.reader.heal()
    await world.mirror.reached(other.revision)
    assert world.mirror.image is not image, "it was not read anew"
    errors = [line for line in capsys.readouterr().out.splitlines() if "[ERROR]" in line]
    assert len(errors) == 1
    assert f"key={META_ROOT}/root-coord/fields/7/101" in errors[0]
    assert world.metadata.state.collection(7) is None
    assert world.metadata.state.by_id(8) == collection(8)
    good = values.encode_field(collection(7).fields[1])
    result = await world.other.txn(Txn((), (put(field, good),)))
    await world.mirror.reached(result.revision)
    assert world.metadata.state.by_id(7) == collection(7)
