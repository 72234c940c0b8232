"""What one instance hears of the others: listing, events, junk, and who is ready of late."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.operator_records import Pause, SwitchoverRequest
from milvus_coord.ha.pair.role_snapshot import FRESH_S
from milvus_coord.ha.pair.takeover import Cause, Takeover
from testing.fake_pair import status_of
from testing.ha_term import Scene, a_scene
from testing.role_world import KEYS

PAUSE = Pause("ann", 5)
REQUEST = SwitchoverRequest("n", 7, 0, "ann")
ENTRY = Takeover(7, 1, "h:1", 2, "h:2", Cause.SILENT, 3)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with a_scene() as made:
        yield made


async def put_all(scene: Scene) -> None:
    await scene.put(KEYS.paused, PAUSE.encode())
    await scene.put(KEYS.switchover, REQUEST.encode())
    await scene.put(KEYS.takeover(7), ENTRY.encode())
    await scene.put(KEYS.challenge(8), Challenge("c", 7).encode())
    await scene.put(KEYS.answer(8), Challenge("a", 7).encode())


def holds_all(scene: Scene) -> bool:
    pair = scene.pair.snapshot
    return (
        pair.pause == PAUSE
        and pair.request == REQUEST
        and pair.switchover is not None
        and pair.switchover.value == REQUEST.encode()
        and pair.history == (ENTRY,)
        and pair.challenges == {8: Challenge("c", 7)}
        and pair.answers == {8: Challenge("a", 7)}
    )


def holds_nothing(scene: Scene) -> bool:
    pair = scene.pair.snapshot
    return not (pair.pause or pair.request or pair.history or pair.challenges or pair.answers)


async def test_before_the_first_listing_nothing_is_known(scene: Scene) -> None:
    await put_all(scene)
    assert not scene.pair.snapshot.listed
    assert holds_nothing(scene)


@pytest.mark.parametrize("listed", [True, False])
async def test_what_is_listed_and_what_comes_later_is_heard(scene: Scene, listed: bool) -> None:
    if listed:
        await put_all(scene)
    await scene.listen()
    if not listed:
        assert holds_nothing(scene)
        await put_all(scene)
    assert await scene.settle(lambda: holds_all(scene))


async def test_what_is_deleted_is_gone(scene: Scene) -> None:
    await put_all(scene)
    await scene.listen()
    keys = KEYS.paused, KEYS.switchover, KEYS.takeover(7), KEYS.challenge(8), KEYS.answer(8)
    for key in keys:
        assert not holds_nothing(scene)
        await scene.delete(key)
        await scene.turns(100)
    assert holds_nothing(scene)


async def test_what_went_unseen_is_gone_after_the_next_listing(scene: Scene) -> None:
    """The watch was behind, and the history it missed is compacted."""
    await put_all(scene)
    await scene.listen()
    scene.pair_link.partition()
    for key in (KEYS.paused, KEYS.switchover, KEYS.takeover(7), KEYS.challenge(8), KEYS.answer(8)):
        await scene.delete(key)
    scene.etcd.compact()
    await scene.turns(100)
    assert holds_all(scene)
    scene.pair_link.heal()
    await scene.until(lambda: holds_nothing(scene))


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("junk", [b"", b"{junk", b"[]", b'{"by":"ann"}'])
async def test_junk_under_the_pause_key_is_a_pause(scene: Scene, junk: bytes, listed: bool) -> None:
    if not listed:
        await scene.listen()
    await scene.put(KEYS.paused, junk)
    if listed:
        await scene.listen()
    assert await scene.settle(lambda: scene.pair.snapshot.pause is not None)
    assert scene.pair.snapshot.pause is not None
    assert scene.pair.snapshot.pause.by == "unknown"
    await scene.delete(KEYS.paused)
    assert await scene.settle(lambda: scene.pair.snapshot.pause is None)


async def test_other_junk_takes_the_place_of_what_was_there(scene: Scene) -> None:
    await put_all(scene)
    await scene.listen()
    for key in (KEYS.switchover, KEYS.takeover(7), KEYS.challenge(8), KEYS.answer(8)):
        await scene.put(key, b"{junk")
    await scene.put(KEYS.ha + b"unheard-of", b"x")
    await scene.put(KEYS.leadership, b"x")
    await scene.turns(100)
    pair = scene.pair.snapshot
    assert (pair.request, pair.history, pair.challenges, pair.answers) == (None, (), {}, {})
    assert pair.pause == PAUSE


async def say(scene: Scene, server_id: int, *, ready: bool = True) -> None:
    await scene.put(KEYS.status(server_id), status_of(server_id, ready=ready).encode())
    await scene.turns(100)


async def test_a_status_of_the_first_listing_is_not_heard(scene: Scene) -> None:
    await say(scene, 8)
    await scene.listen()
    assert scene.pair.ready(besides=0) == []
    await say(scene, 8)
    assert scene.pair.ready(besides=0) == [8]


async def test_ready_are_those_heard_of_late_the_newest_first(scene: Scene) -> None:
    await scene.listen()
    for server_id, ready in ((7, True), (8, True), (9, False), (10, True)):
        await say(scene, server_id, ready=ready)
        scene.clock.advance(0.1)
    assert scene.pair.ready(besides=7) == [10, 8]
    await say(scene, 8)
    assert scene.pair.ready(besides=7) == [8, 10]
    await say(scene, 8, ready=False)
    assert scene.pair.ready(besides=7) == [10]
    await scene.delete(KEYS.status(10))
    await scene.turns(100)
    assert scene.pair.ready(besides=7) == []


async def test_who_has_said_nothing_for_long_is_not_ready(scene: Scene) -> None:
    await scene.listen()
    await say(scene, 8)
    scene.clock.advance(FRESH_S - 0.1)
    assert scene.pair.ready(besides=0) == [8]
    scene.clock.advance(0.2)
    assert scene.pair.ready(besides=0) == []


async def test_a_status_that_is_junk_is_no_status(scene: Scene) -> None:
    await scene.listen()
    await say(scene, 8)
    await scene.put(KEYS.status(8), b"{junk")
    assert await scene.settle(lambda: scene.pair.ready(besides=0) == [])
