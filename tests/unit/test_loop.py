"""Loops: when a turn is taken, what is said of it, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from milvus_coord.etcd.errors import EtcdError, Unavailable
from milvus_coord.model.errors import FencedOff, NotServing
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.runtime.loop import Loop, run_loops
from milvus_coord.runtime.race import cancel_and_wait, first_of
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.runtime.troubles import Troubles
from testing.log_lines import log_lines


class Turns:
    """A turn that plays what it is given, and notes when it was taken."""

    def __init__(self, clock: ManualClock, outcomes: Iterable[str | Exception | None] = ()) -> None:
        self._clock, self._outcomes = clock, iter(outcomes)
        self.taken_s: list[float] = []

    async def take(self) -> str | None:
        self.taken_s.append(self._clock.boottime())
        outcome = next(self._outcomes, None)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def advance(clock: ManualClock, *steps_s: float) -> None:
    await settle()
    for step_s in steps_s:
        clock.advance(step_s)
        await settle()


async def test_a_turn_is_taken_at_once_and_then_every_so_often() -> None:
    clock = ManualClock(0.0)
    turns = Turns(clock)
    task = asyncio.create_task(Loop("test", 5.0, turns.take).run(clock))
    await advance(clock, 4.0, 1.0, 5.0)
    await cancel_and_wait(task)
    assert turns.taken_s == [0.0, 5.0, 10.0]


async def test_the_first_turn_can_wait() -> None:
    clock = ManualClock(0.0)
    turns = Turns(clock)
    task = asyncio.create_task(Loop("test", 5.0, turns.take, first_after_s=2.0).run(clock))
    await advance(clock, 2.0, 5.0)
    await cancel_and_wait(task)
    assert turns.taken_s == [2.0, 7.0]


@pytest.mark.parametrize(
    ("fixed_rate", "expected_s"), [(False, [0.0, 7.0, 19.0]), (True, [0.0, 5.0, 12.0, 19.0])]
)
async def test_slow_turns_never_overlap_and_are_followed_by_a_pause_unless_the_rate_is_fixed(
    fixed_rate: bool, expected_s: list[float]
) -> None:
    clock = ManualClock(0.0)
    began_s: list[float] = []

    async def turn() -> None:
        began_s.append(clock.boottime())
        await clock.sleep(2.0 if len(began_s) == 1 else 7.0)

    task = asyncio.create_task(Loop("test", 5.0, turn, fixed_rate=fixed_rate).run(clock))
    await advance(clock, *[1.0] * 19)
    await cancel_and_wait(task)
    assert began_s == expected_s


async def test_waking_a_loop_makes_a_turn_even_in_the_midst_of_one() -> None:
    clock, wake = ManualClock(0.0), asyncio.Event()
    turns = Turns(clock)
    loop = Loop("test", 5.0, turns.take, wake=wake, first_after_s=9.0)
    task = asyncio.create_task(loop.run(clock))
    await advance(clock, 1.0)
    wake.set()
    await settle()
    wake.set()
    await advance(clock, 5.0)
    await cancel_and_wait(task)
    assert turns.taken_s == [1.0, 1.0, 6.0]


async def test_trouble_is_waited_out_and_said_once() -> None:
    clock = ManualClock(0.0)
    trouble = Unavailable("etcd is away", sent=False)
    turns = Turns(clock, [trouble, trouble, None])
    loop = Loop("test", 5.0, turns.take, on=(EtcdError,), purpose="save the bounds")
    with log_lines() as lines:
        task = asyncio.create_task(loop.run(clock))
        await advance(clock, 0.1, 0.2)
        await cancel_and_wait(task)
    assert turns.taken_s == [0.0, 0.1, pytest.approx(0.3)]
    assert [line.message for line in lines if line.level == "WARN"] == [
        "cannot save the bounds, trying on"
    ]


@pytest.mark.parametrize("error", [FencedOff("another leads"), ValueError("a bug")])
async def test_the_end_of_the_right_to_write_and_bugs_end_a_loop(error: Exception) -> None:
    clock = ManualClock(0.0)
    loop = Loop("test", 5.0, Turns(clock, [error]).take, on=(NotServing,))
    with pytest.raises(type(error)):
        await loop.run(clock)


async def test_a_sentence_is_logged_when_it_changes() -> None:
    clock = ManualClock(0.0)
    turns = Turns(clock, ["balanced", "balanced", None, "balanced", "moved one"])
    with log_lines() as lines:
        task = asyncio.create_task(Loop("test", 1.0, turns.take).run(clock))
        await advance(clock, 1.0, 1.0, 1.0, 1.0)
        await cancel_and_wait(task)
    assert [line.message for line in lines] == ["balanced", "balanced", "moved one"]


async def test_loops_end_with_their_group() -> None:
    clock, ended = ManualClock(0.0), []

    def until_cancelled(name: str) -> Callable[[], object]:
        async def turn() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        return turn

    loops = [Loop(name, 1.0, until_cancelled(name)) for name in ("first", "second")]  # type: ignore[arg-type]

    async def term() -> None:
        async with TaskGroup() as tasks:
            run_loops(tasks, loops, clock)
            await settle()
            assert {"first", "second"} <= {task.get_name() for task in asyncio.all_tasks()}
            await asyncio.Event().wait()

    await first_of(term(), settle_twice(), name="term")
    assert sorted(ended) == ["first", "second"]


async def settle_twice() -> None:
    await settle()
    await settle()


async def test_trouble_that_lasts_is_noted_until_it_is_over() -> None:
    clock, troubles = ManualClock(0.0), Troubles()
    turns = Turns(clock, [Unavailable("no leader", sent=False) for _ in range(5)])
    loop = Loop(
        "test", 5.0, turns.take, on=(EtcdError,), purpose="save it", retry_first_s=1, retry_cap_s=1
    )
    noted = []
    task = asyncio.create_task(loop.run(clock, troubles))
    with log_lines() as lines:
        for _ in range(7):
            await advance(clock, 1.5)
            noted.append(troubles.now)
    await cancel_and_wait(task)
    assert noted[0] == noted[-1] == ()
    assert ("cannot save it: no leader",) in noted
    assert sum("cannot save it for long" in line for line in lines) == 1
