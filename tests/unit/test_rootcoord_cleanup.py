"""The cleanup: patience, the pauses before garbage is asked for, adoption."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from milvus_coord.coordinators.rootcoord.collections.rules_cleanup import (
    DROP_COLLECTION,
    DROP_PARTITION,
    NEVER_STORED,
    ROLL_BACK_CREATE,
    WHOLE,
    Plan,
    Step,
    plan_for,
)
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.txn import Txn
from milvus_coord.model.collection import CollectionState
from milvus_coord.model.errors import FencedOff
from milvus_coord.wire.descriptors import message_class
from testing.metadata import collection
from testing.role_world import Broken
from testing.rootcoord_world import Term, World, wanted

MINUTE: Final = 60.0


async def let(world: World, seconds: float) -> None:
    """Let the clock run for so long, in steps."""
    for _ in range(int(seconds // 10)):
        world.clock.advance(10.0)
        await world.turns()


def dropped_name(payload: bytes) -> str:
    message: Any = message_class("milvus.proto.internal.DropCollectionRequest").FromString(payload)
    name: str = message.collectionName
    return name


async def test_garbage_is_asked_for_after_20_minutes_and_every_20_minutes_then() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        world.effects.gc_finished = False
        await term.ddl.drop_collection("", "a")
        await let(world, 19 * MINUTE + 50)
        assert len(world.faults.tried("gc")) == 0
        await let(world, 10)
        assert len(world.faults.tried("gc")) == 1
        await let(world, 19 * MINUTE + 50)
        assert len(world.faults.tried("gc")) == 1
        await let(world, 10)
        assert len(world.faults.tried("gc")) == 2
        world.faults.fail("gc", Broken("datacoord is away"))
        await let(world, 20 * MINUTE)
        assert len(world.faults.tried("gc")) == 3
        world.effects.gc_finished = True
        assert world.live("collection-info")
        await let(world, 20 * MINUTE)
        assert not world.live("collection-info")
        assert term.consistent() == []


async def test_steps_that_took_long_count_for_the_20_minutes() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        term.ticks.flowing.clear()
        await term.ddl.drop_collection("", "a")
        await let(world, 30 * MINUTE)
        assert len(world.faults.tried("gc")) == 0, "not before readers know of the drop"
        assert sum(term.ticks.used.values()) == 2
        term.ticks.flowing.set()
        await let(world, 10)
        assert len(world.faults.tried("gc")) == 1


@pytest.mark.parametrize("step", ["release", "index", "send"])
async def test_each_step_of_a_drop_is_repeated_until_it_succeeds(step: str) -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        world.faults.fail(step, times=30)
        await term.ddl.drop_collection("", "a")
        await world.quiet(term)
        assert world.faults.raised == 30
        assert not world.live("collection-info")
        assert term.consistent() == []


async def test_the_pauses_grow_to_half_a_minute() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        world.faults.fail("release", times=10_000)
        await term.ddl.drop_collection("", "a")
        await let(world, 60 * MINUTE)
        assert 120 <= len(world.faults.tried("release")) <= 170


async def test_a_broken_object_harms_no_other() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_collection(wanted("b"))
        world.faults.fail("release", ValueError("a bug"), times=3)
        await term.ddl.drop_collection("", "a")
        await term.ddl.drop_collection("", "b")
        await world.quiet(term)
        assert world.faults.raised == 3
        assert term.consistent() == []


async def test_etcd_trouble_is_waited_out() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.drop_collection("", "a")
        failures = iter([True, True, True])

        def hook(txn: Txn) -> tuple[Unavailable, bool] | None:
            applied = next(failures, None)
            return None if applied is None else (Unavailable("away", sent=True), False)

        world.etcd.hook = hook
        await world.quiet(term)
        assert next(failures, None) is None
        assert not world.live("collection-info")
        assert term.consistent() == []


async def test_a_successor_ends_the_cleanup_and_with_it_the_term() -> None:
    world = World()

    async def lead() -> None:
        async with world.term() as term:
            await term.ddl.create_collection(wanted("a"))
            await term.ddl.drop_collection("", "a")
            await world.deposed()
            await asyncio.Event().wait()

    leading = asyncio.ensure_future(lead())
    await world.until(leading.done, step_s=60.0)
    with pytest.raises(ExceptionGroup) as ended:
        await leading
    assert [type(error) for error in ended.value.exceptions] == [FencedOff]


async def furnish(term: Term, dropped: int) -> None:
    for i in range(dropped):
        await term.ddl.create_collection(wanted(f"c{i}"))
        await term.ddl.create_alias("", f"c{i}", f"x{i}")
        await term.ddl.drop_collection("", f"c{i}")
    await term.ddl.create_collection(wanted("stays"))
    await term.ddl.create_partition("", "stays", "p")
    await term.ddl.drop_partition("", "stays", "p")
    await term.ddl.create_partition("", "stays", "p")


async def test_a_new_term_takes_up_everything_with_each_channel_counted_once() -> None:
    world = World()
    world.effects.gc_finished = False
    async with world.term() as term:
        await furnish(term, 40)
        world.faults.fail("watch")
        term.ticks.flowing.clear()
        with pytest.raises(Broken):
            await term.ddl.create_collection(wanted("half"))
    world.effects.sent.clear()
    async with world.term(adopt=False) as term:
        assert +term.ticks.used == term.state.channels_in_use()
        assert len(list(term.state.unfinished())) == 41
        await term.ddl.resume_unfinished()
        await let(world, 10)
        names = {dropped_name(payload) for _, payload in world.effects.sent}
        assert names >= {"", "c0", "c39"}, "the half-created one is taken back without a name"
        assert sum(term.ticks.used.values()) == 2, "only the one that stays needs ticks"
        world.effects.gc_finished = True
        await world.quiet(term)
        assert len(world.live("collection-info")) == 1
        assert world.live("aliases") == {}
        assert [p.name for p in term.state.partitions(term.collection("stays").id)] == [
            "_default",
            "p",
        ]
        assert term.consistent() == []


async def test_many_dropped_collections_are_adopted_few_at_a_time() -> None:
    world = World()
    world.effects.gc_finished = False
    async with world.term() as term:
        for i in range(100):
            await term.ddl.create_collection(wanted(f"c{i}", shards=1))
            await term.ddl.drop_collection("", f"c{i}")
    released = world.faults.hang("release")
    world.faults.story.clear()
    async with world.term() as term:
        await let(world, 10)
        assert len(world.faults.tried("release")) == 16
        released.set()
        world.effects.gc_finished = True
        await world.quiet(term)
        assert len(world.faults.tried("release")) == 100
        assert term.consistent() == []


@pytest.mark.parametrize("trouble", ["fails", "hangs", "no garbage collected"])
async def test_drops_that_wait_are_no_tasks(trouble: str) -> None:
    world = World()
    world.effects.gc_finished = False
    hang = world.faults.hang("release") if trouble == "hangs" else None
    async with world.term() as term:
        if trouble == "fails":
            world.faults.fail("release", times=400)
        before = len(asyncio.all_tasks())
        for i in range(200):
            await term.ddl.create_collection(wanted(f"c{i}", shards=1))
            await term.ddl.drop_collection("", f"c{i}")
        await world.turns()
        assert len(asyncio.all_tasks()) - before < 40
        assert len(term.ddl.cleanup.running) == 200
        if hang is not None:
            hang.set()
        world.effects.gc_finished = True
        await world.quiet(term)
        assert term.consistent() == []
        assert len(asyncio.all_tasks()) <= before, "nothing to do, nobody there"


async def test_what_a_term_resumes_does_not_touch_its_own_statements() -> None:
    world = World()
    async with world.term(adopt=False) as term:
        watched = world.faults.hang("watch")
        creating = asyncio.create_task(term.ddl.create_collection(wanted("a")))
        await world.until(lambda: bool(world.faults.tried("watch")), step_s=0.0)
        assert len(list(term.state.unfinished())) == 1
        await term.ddl.resume_unfinished()
        assert not term.ddl.cleanup.running
        watched.set()
        await creating
        assert term.collection("a").available
        assert term.consistent() == []


async def test_a_partition_goes_with_its_collection() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_partition("", "a", "p")
        hang = world.faults.hang("index")
        await term.ddl.drop_partition("", "a", "p")
        await world.until(lambda: bool(world.faults.tried("index")), step_s=0.0)
        await term.ddl.drop_collection("", "a")
        hang.set()
        await world.quiet(term)
        assert world.live("partitions") == {}
        assert len(world.effects.sent) == 4, "created and dropped, two channels each"
        assert term.consistent() == []


async def test_an_alias_that_moved_on_survives_its_former_collection() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_collection(wanted("b"))
        await term.ddl.create_alias("", "a", "x")
        await term.ddl.create_alias("", "a", "y")
        await term.ddl.drop_collection("", "a")
        await term.ddl.alter_alias("", "b", "x")
        await world.quiet(term)
        assert term.collection("x").name == "b"
        assert term.state.alias(1, "y") is None
        assert term.consistent() == []


def test_what_a_failed_statement_leaves_to_do_is_read_off_the_stored_state() -> None:
    plans = {state: plan_for(collection(7, state=state)) for state in CollectionState}
    assert plan_for(None) is NEVER_STORED
    assert plans[CollectionState.CREATING] is ROLL_BACK_CREATE
    assert plans[CollectionState.DROPPING] is DROP_COLLECTION
    assert plans[CollectionState.CREATED] is WHOLE


@pytest.mark.parametrize("plan", [DROP_COLLECTION, ROLL_BACK_CREATE, DROP_PARTITION])
def test_readers_know_before_the_records_go(plan: Plan) -> None:
    steps = plan.steps
    assert steps.index(Step.ANNOUNCE) < steps.index(Step.WRITE_TOMBSTONES) == len(steps) - 1
    if Step.RELEASE_CHANNELS in steps:
        assert steps.index(Step.ANNOUNCE) < steps.index(Step.RELEASE_CHANNELS)
