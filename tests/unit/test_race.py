"""Work against an event, and clean-ups that a cancellation must not cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from milvus_coord.runtime.clock import ManualClock
from milvus_coord.runtime.race import (
    Interrupted,
    cancel_and_wait,
    first_of,
    gather_all,
    limited,
    run_until,
    to_the_end,
    within,
)


async def test_until_returns_what_the_work_returns() -> None:
    async def work() -> int:
        return 7

    assert await run_until(asyncio.Event(), work(), name="work") == 7


async def test_until_cancels_the_work_and_waits_for_its_end() -> None:
    stop, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    with pytest.raises(Interrupted):
        await run_until(stop, work(), name="work")
    assert ended.is_set()


async def test_until_does_not_begin_when_it_is_too_late() -> None:
    stop = asyncio.Event()
    stop.set()

    async def work() -> None:
        raise AssertionError("begun")

    with pytest.raises(Interrupted):
        await run_until(stop, work(), name="work")


async def test_until_raises_what_the_work_raises() -> None:
    async def work() -> None:
        raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        await run_until(asyncio.Event(), work(), name="work")


async def test_within_ends_what_takes_longer_by_the_given_clock() -> None:
    clock, ended = ManualClock(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(within(0.5, work(), clock=clock, name="work"))
    await asyncio.sleep(0.01)
    clock.advance(0.49)
    await asyncio.sleep(0.01)
    assert not task.done()
    clock.advance(0.01)
    with pytest.raises(TimeoutError, match="work"):
        await task
    assert ended.is_set()


async def test_within_returns_what_the_work_returns() -> None:
    async def work() -> int:
        return 7

    assert await within(0.5, work(), clock=ManualClock(), name="work") == 7


async def test_a_cancellation_waits_for_the_clean_up_and_is_not_lost() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def clean_up() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    task = asyncio.create_task(to_the_end(clean_up(), name="clean-up"))
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_a_clean_up_that_fails_says_so() -> None:
    async def clean_up() -> None:
        raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        await to_the_end(clean_up(), name="clean-up")


async def test_of_several_the_first_counts_and_the_others_have_ended() -> None:
    ended: list[str] = []

    async def endless() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("endless")
        return "never"

    async def soon() -> str:
        await asyncio.sleep(0)
        return "soon"

    async def soon_too() -> str:
        await asyncio.sleep(0)
        return "soon too"

    assert await first_of(endless(), soon(), soon_too(), name="race") == "soon"
    assert ended == ["endless"]


async def test_the_first_that_fails_counts_too() -> None:
    async def fails() -> None:
        raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        await first_of(asyncio.sleep(60), fails(), name="race")


async def test_a_cancellation_is_not_lost_when_a_child_fails_at_the_same_time() -> None:
    entered = asyncio.Event()

    async def child() -> None:
        try:
            entered.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("while being cancelled") from None

    task = asyncio.create_task(gather_all(child(), child(), name="race"))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_all_end_before_the_first_error_is_raised() -> None:
    ended: list[str] = []

    async def fails(text: str) -> None:
        raise ValueError(text)

    async def takes_long() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        ended.append("long")

    with pytest.raises(ValueError, match="first"):
        await gather_all(takes_long(), fails("first"), fails("second"), name="race")
    assert ended == ["long"]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr] # there is one


async def test_nothing_gathered_is_nothing() -> None:
    assert await gather_all(name="race") == []


async def test_a_cancelled_wait_for_an_end_still_waits() -> None:
    ended = asyncio.Event()

    async def ends_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    continue
            ended.set()

    slow = asyncio.create_task(ends_slowly())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cancel_and_wait(slow))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()


@pytest.mark.parametrize("helper", [first_of, gather_all])
@pytest.mark.parametrize("cancelled_after", range(1, 7))
@pytest.mark.parametrize("fails_after", range(6))
async def test_a_cancellation_at_any_moment_ends_all_and_is_not_lost(
    helper: Callable[..., Coroutine[Any, Any, object]], cancelled_after: int, fails_after: int
) -> None:
    running = 0

    async def child(turns: int, *, fails: bool) -> None:
        nonlocal running
        running += 1
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
            if fails:
                raise ValueError("own")
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                running -= 1

    children = (child(fails_after, fails=True), child(9, fails=False))
    task = asyncio.create_task(helper(*children, name="race"))
    for _ in range(cancelled_after):
        await asyncio.sleep(0)
    was_cancelled = task.cancel()
    with pytest.raises((asyncio.CancelledError, ValueError)) as ended:
        await task
    assert running == 0
    assert was_cancelled == (ended.type is asyncio.CancelledError)


async def test_a_limited_block_ends_with_the_error_of_its_limit() -> None:
    with pytest.raises(KeyError, match="late"):
        async with limited(0.0, lambda: KeyError("late")):
            await asyncio.Event().wait()


@pytest.mark.parametrize("seconds", [60.0, None])
async def test_a_limited_block_keeps_a_timeout_of_its_own(seconds: float | None) -> None:
    with pytest.raises(TimeoutError, match="own"):
        async with limited(seconds, lambda: KeyError("late")):
            raise TimeoutError("own")
