"""The mirror on the in-memory etcd: reading, following, losing history, catching up."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from milvus_coord.etcd.errors import Compacted, PermissionDenied, Unavailable
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.ha.election.fence import ConditionFailed
from milvus_coord.ha.mirror.changes import Changed
from milvus_coord.ha.mirror.dump import REST, MirrorDump, NotSynced, from_etcd
from milvus_coord.ha.mirror.image import SLICE_KEYS, Mirrored
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.model.errors import FencedOff
from milvus_coord.runtime.race import cancel_and_wait
from testing.keys_image import KeysImage
from testing.role_world import RoleWorld

PREFIX = b"meta/room/"
BARE, LATER = b"meta/channel", b"meta/tail/"
PAIR = b"meta/ha/role/"
STATUS = PAIR + b"instance-7"
MIRRORED = Mirrored((PREFIX, LATER, BARE), PAIR, KeysImage)


class World(RoleWorld[KeysImage]):
    """An etcd, and a mirror over a link of its own."""

    def __init__(self) -> None:
        super().__init__(MIRRORED, Keys("meta", "role"))
        self.mirror: Mirror[KeysImage] = Mirror(self.reader, self.clock, MIRRORED)

    async def write(self, **values: str) -> int:
        ops = tuple(put(PREFIX + name.encode(), value.encode()) for name, value in values.items())
        return (await self.other.txn(Txn((), ops))).revision

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Mirror[KeysImage]]:
        task = asyncio.create_task(self.mirror.run(), name="mirror")
        try:
            yield self.mirror
        finally:
            await cancel_and_wait(task)

    @property
    def seen(self) -> dict[str, str]:
        image = self.mirror.image
        return {key.removeprefix(PREFIX).decode(): value.decode() for key, value in image.items()}


@pytest.fixture
def world() -> World:
    return World()


async def test_it_reads_what_is_there_and_follows(world: World) -> None:
    await world.write(a="1", b="1")
    await world.etcd.txn(Txn((), (put(b"meta/roomy", b"no"),)))
    async with world.running() as mirror:
        revision = await world.write(b="2", c="2")
        await mirror.reached(revision)
        assert mirror.synced
        assert world.seen == {"a": "1", "b": "2", "c": "2"}
        gone = await world.etcd.txn(Txn((), (delete(PREFIX + b"a"),)))
        await mirror.reached(gone.revision)
        assert world.seen == {"b": "2", "c": "2"}
        assert mirror.revision == gone.revision


async def test_a_reading_that_fails_is_repeated(world: World) -> None:
    await world.write(a="1")
    world.reader.fail_next("range", Unavailable("down", sent=False), times=3)
    async with world.running() as mirror:
        for _ in range(3):
            await world.turns(20)
            assert not mirror.synced
            world.clock.advance(1.0)
        await world.turns(20)
        assert world.seen == {"a": "1"}


async def test_what_cannot_be_waited_out_ends_it(world: World) -> None:
    world.reader.fail_next("range", PermissionDenied("not for you"))
    with pytest.raises(PermissionDenied):
        await world.mirror.run()


async def test_a_mirror_that_stops_following_is_not_synced(world: World) -> None:
    async with world.running() as mirror:
        await mirror.reached(await world.write(a="1"))
        assert mirror.synced
    assert not mirror.synced


async def test_cut_off_and_healed_it_goes_on(world: World) -> None:
    async with world.running() as mirror:
        await mirror.reached(await world.write(a="1"))
        world.reader.partition()
        revision = await world.write(a="2", b="2")
        await world.turns(50)
        assert world.seen == {"a": "1"}
        world.reader.heal()
        await mirror.reached(revision)
        assert world.seen == {"a": "2", "b": "2"}


async def test_lost_history_makes_a_new_image_and_swaps_it_when_complete(world: World) -> None:
    async with world.running() as mirror:
        await mirror.reached(await world.write(a="1", b="1"))
        old = mirror.image
        world.reader.partition()
        await world.etcd.txn(Txn((), (delete(PREFIX + b"a"),)))
        revision = await world.write(b="2")
        world.etcd.compact()
        world.reader.fail_next("range", Unavailable("down", sent=False))
        world.reader.heal()
        await world.turns(50)
        assert not mirror.synced
        assert mirror.image is old
        assert world.seen == {"a": "1", "b": "1"}
        world.clock.advance(1.0)
        await mirror.reached(revision)
        assert world.mirror.synced
        assert mirror.image is not old
        assert world.seen == {"b": "2"}
        assert old == {PREFIX + b"a": b"1", PREFIX + b"b": b"1"}
        await mirror.reached(await world.write(c="3"))
        assert world.seen == {"b": "2", "c": "3"}


async def test_the_loop_gets_its_turn_and_no_revision_is_seen_in_halves(world: World) -> None:
    for start in range(0, 3 * SLICE_KEYS, 60):
        await world.write(**{f"k{start + index:05}": "1" for index in range(60)})
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(len(world.mirror.image))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look(), name="looking")
    async with world.running() as mirror:
        await mirror.reached(world.etcd.store.revision)
        assert set(seen) <= {0, 600}, "an image was shown before it was complete"
        assert seen.count(0) > 3, "the loop was held all the time"
        world.reader.partition()
        for start in range(3 * SLICE_KEYS, 6 * SLICE_KEYS, 60):
            await world.write(**{f"k{start + index:05}": "1" for index in range(60)})
        world.reader.heal()
        await mirror.reached(world.etcd.store.revision)
        assert all(count % 60 == 0 for count in seen)
    await cancel_and_wait(looking)


async def test_catching_up_takes_in_all_that_was_written_before(world: World) -> None:
    async with world.running() as mirror:
        await mirror.reached(await world.write(a="1"))
        fence = await world.lead()
        world.reader.partition()
        await world.write(a="2")
        catching = asyncio.create_task(mirror.catch_up(fence), name="catching up")
        await world.turns(50)
        assert not catching.done()
        world.reader.heal()
        revision = await catching
        assert mirror.revision == revision
        assert world.seen == {"a": "2"}, "the mark is not for the image"


async def test_catching_up_outlasts_trouble_but_not_the_term(world: World) -> None:
    async with world.running() as mirror:
        fence = await world.lead()
        world.etcd.fail_next("txn", Unavailable("lost", sent=True), applied=True)
        catching = asyncio.create_task(mirror.catch_up(fence), name="catching up")
        await world.turns(50)
        world.clock.advance(1.0)
        assert await catching == mirror.revision
        await world.lead()
        with pytest.raises(FencedOff):
            await mirror.catch_up(fence)


async def test_a_barrier_stops_what_was_sent_before_the_next_catching_up(world: World) -> None:
    async with world.running() as mirror:
        fence = await world.lead()
        await mirror.catch_up(fence)
        barrier = mirror.barrier()
        await fence.commit(put(PREFIX + b"a", b"1"), when=(barrier,))
        await mirror.catch_up(fence)
        with pytest.raises(ConditionFailed):
            await fence.commit(put(PREFIX + b"a", b"late"), when=(barrier,))
        await fence.commit(put(PREFIX + b"a", b"2"), when=(mirror.barrier(),))
        await mirror.catch_up(fence)
        assert world.seen == {"a": "2"}


async def test_a_mirror_that_starts_later_knows_the_mark(world: World) -> None:
    fence = await world.lead()
    async with world.running() as mirror:
        await mirror.catch_up(fence)
    other: Mirror[KeysImage] = Mirror(world.etcd.peer(), world.clock, MIRRORED)
    task = asyncio.create_task(other.run(), name="other")
    await other.reached(world.etcd.store.revision)
    assert other.barrier() == mirror.barrier()
    await fence.commit(put(PREFIX + b"a", b"1"), when=(other.barrier(),))
    await cancel_and_wait(task)


async def test_the_mark_may_be_deleted_by_hand(world: World) -> None:
    async with world.running() as mirror:
        fence = await world.lead()
        await mirror.catch_up(fence)
        gone = await world.etcd.txn(Txn((), (delete(MIRRORED.mark_key),)))
        await mirror.reached(gone.revision)
        await fence.commit(put(PREFIX + b"a", b"1"), when=(mirror.barrier(),))


async def test_a_write_for_the_pair_tells_how_far_behind_it_is(world: World) -> None:
    async with world.running() as mirror:
        assert mirror.lag(1) is None, "not read yet"
        await mirror.reached(await world.write(a="1"))

        async def status() -> int:
            return (await world.etcd.txn(Txn((), (put(STATUS, b""),)))).revision

        await mirror.reached(await status())
        assert mirror.lag(mirror.revision) == 0
        for _ in range(3):
            await world.etcd.txn(Txn((), (put(b"meta/zone", b""),)))
        revision = await status()
        await mirror.reached(revision)
        assert mirror.lag(revision) == 0, "what others wrote elsewhere is not missed"
        world.reader.partition()
        await world.write(a="2")
        revision = await status()
        await world.turns(20)
        assert mirror.lag(revision) == 2
        world.reader.heal()
        await mirror.reached(revision)
        assert mirror.lag(revision) == 0
        assert world.seen == {"a": "2"}, "the pair's keys are not for the image"


async def test_several_prefixes_are_one_image_and_foreign_keys_between_them_none(
    world: World,
) -> None:
    for key in (BARE + b"watch/1", LATER + b"x", b"meta/field/1", b"meta/roomy", PAIR + b"paused"):
        await world.etcd.txn(Txn((), (put(key, b"1"),)))
    async with world.running() as mirror:
        await mirror.reached(await world.write(a="1"))
        before = {BARE + b"watch/1": b"1", LATER + b"x": b"1", PREFIX + b"a": b"1"}
        assert mirror.image == before
        assert mirror.keys == 3
        changed = mirror.changed
        foreign = (put(b"meta/field/2", b"2"), put(b"meta/roomy", b"2"), delete(PAIR + b"paused"))
        revision = (await world.etcd.txn(Txn((), foreign))).revision
        await mirror.reached(revision)
        assert (mirror.image, mirror.keys, mirror.changed) == (before, 3, changed)
        revision = (await world.etcd.txn(Txn((), (put(LATER + b"x", b"2"),)))).revision
        await mirror.reached(revision)
        assert mirror.image[LATER + b"x"] == b"2"
        assert mirror.sees(b"meta/field/2")
        assert not mirror.sees(b"meta/zone")
        assert not mirror.sees(b"meta/tail0")


def test_prefixes_must_be_apart() -> None:
    for one, other in ((b"m/a", b"m/ab/"), (b"m/ha/", b"m/b/"), (b"m/a", b"m/a")):
        with pytest.raises(ValueError, match="not apart"):
            Mirrored((one, other), b"m/ha/role/", KeysImage)


async def test_a_reading_in_pages_that_loses_its_revision_begins_anew(world: World) -> None:
    for number in range(5):
        await world.write(**{f"k{number}": "1"})
    world.reader.fail_next("range", Compacted("gone", revision=9))
    async with world.running() as mirror:
        await world.turns(50)
        assert not mirror.synced
        world.clock.advance(1.0)
        await mirror.reached(world.etcd.store.revision)
        assert len(world.seen) == 5


async def test_a_replaced_image_is_freed_though_nobody_looks_for_garbage(world: World) -> None:
    async with world.running() as mirror:
        await mirror.reached(await world.write(a="1"))
        old = weakref.ref(mirror.image)
        gc.disable()
        try:
            world.reader.partition()
            await world.write(b="2")
            revision = await world.write(b="3")
            world.etcd.compact()
            world.reader.heal()
            await mirror.reached(revision)
            assert world.seen == {"a": "1", "b": "3"}
            assert old() is None
        finally:
            gc.enable()


async def test_a_doer_hears_which_keys_changed(world: World) -> None:
    async with world.running() as mirror:
        await mirror.reached(await world.write(a="1"))
        with mirror.changes(LATER) as changes:
            assert await changes.take() == Changed(frozenset(), everything=True)
            taking = asyncio.create_task(changes.take(), name="taking")
            await mirror.reached(await world.write(a="2"))
            await world.turns(20)
            assert not taking.done(), "another prefix is none of its business"
            pair = (put(LATER + b"x", b"1"), put(LATER + b"y", b"1"))
            await world.etcd.txn(Txn((), pair))
            assert (await taking).keys == {LATER + b"x", LATER + b"y"}
            assert mirror.image[LATER + b"y"] == b"1"
            await world.etcd.txn(Txn((), (put(LATER + b"x", b"2"),)))
            revision = (await world.etcd.txn(Txn((), (delete(LATER + b"y"),)))).revision
            await mirror.reached(revision)
            assert await changes.take() == Changed(
                frozenset({LATER + b"x", LATER + b"y"}), everything=False
            )
        await world.etcd.txn(Txn((), (put(LATER + b"x", b"3"),)))
        listener = weakref.ref(changes)
        del changes
        assert listener() is None, "it is forgotten"


async def test_a_doer_looks_at_everything_after_a_reading(world: World) -> None:
    with world.mirror.changes(LATER) as changes:
        taking = asyncio.create_task(changes.take(), name="taking")
        await world.turns(20)
        assert not taking.done(), "nothing is read yet"
        async with world.running() as mirror:
            assert (await taking).everything
            world.reader.partition()
            await world.etcd.txn(Txn((), (put(LATER + b"x", b"1"),)))
            revision = await world.write(b="2")
            world.etcd.compact()
            world.reader.heal()
            await mirror.reached(revision)
            assert await changes.take() == Changed(frozenset(), everything=True)
            assert mirror.image[LATER + b"x"] == b"1"


async def test_it_counts_keys_and_knows_since_when_it_is_the_same(world: World) -> None:
    await world.write(a="1", b="1")
    fence = await world.lead()
    async with world.running() as mirror:
        await mirror.catch_up(fence)
        assert (mirror.keys, mirror.changed) == (2, 4), "as it was read, the mark included"
        changed = await world.write(b="2", c="1")
        await mirror.catch_up(fence)
        assert (mirror.keys, mirror.changed) == (3, changed)
        gone = await world.etcd.txn(Txn((), (delete(PREFIX + b"a"),)))
        await mirror.catch_up(fence)
        assert (mirror.keys, mirror.changed) == (2, gone.revision)


async def test_a_digest_is_of_one_moment_and_leaves_the_loop_free(world: World) -> None:
    async with world.running() as mirror:
        for start in range(0, 1200, 60):
            await world.write(**{f"k{start + index:05}": "1" for index in range(60)})
        before = await world.write(last="1")
        await mirror.reached(before)
        dumping = asyncio.create_task(MirrorDump(mirror).dump(), name="dumping")
        for number in range(6):
            await world.write(last=str(number))
            assert not dumping.done(), "the loop was held"
        found = await dumping
        assert found.digest.revision == before
        assert mirror.revision > before
        true = await from_etcd(world.etcd, MIRRORED, before)
        assert (found.digest.digest, found.digest.keys) == (true.digest.digest, 1201)
        assert found.lines == true.lines
        assert (await MirrorDump(mirror).digest()).digest != found.digest.digest
        mirror.synced = False
        with pytest.raises(NotSynced):
            await MirrorDump(mirror).digest()


async def test_tight_askers_cost_no_more_than_their_share_of_a_digest(world: World) -> None:
    ticks = itertools.count()
    async with world.running() as mirror:
        dump = MirrorDump(mirror, lambda: float(next(ticks)))  # each look at it takes a second
        await mirror.reached(await world.write(k="0"))
        first = await dump.digest(fresh=False)
        await mirror.reached(await world.write(k="1"))
        asked = 1000
        found = [await dump.digest(fresh=False) for _ in range(asked)]
        assert found[0] is first
        assert found[-1].revision == mirror.revision
        assert len({id(each) for each in found}) <= 1 + asked / REST
        assert (await dump.digest()) is not found[-1]


@pytest.mark.parametrize("ahead", [0, 1000])
async def test_an_etcd_that_was_restored_is_read_again(world: World, ahead: int) -> None:
    """Behind or ahead of what the mirror has seen: ahead, its watch would simply go on."""
    await world.write(a="1", b="1")
    backup = world.etcd.store.snapshot()
    async with world.running() as mirror:
        seen = await world.write(b="2", c="2")
        await mirror.reached(seen)
        world.etcd.store.restore(backup, revision=backup.revision + ahead)
        fence = await world.lead()
        await mirror.catch_up(fence)  # not by the image of before, whatever revision that had
        assert world.seen == {"a": "1", "b": "1"}
        assert mirror.revision == world.etcd.store.revision
        await mirror.reached(await world.write(d="3"))
        assert world.seen == {"a": "1", "b": "1", "d": "3"}
