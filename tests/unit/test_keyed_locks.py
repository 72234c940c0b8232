"""Keyed locks: sharing, order of arrival, cancellation, and nothing left behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from milvus_coord.runtime.locks import KeyedLocks
from testing.role_world import turns


class Crew:
    """Tasks that hold keys until told to let go; `inside` is who holds now, in order of entry."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.locks: KeyedLocks[str] = KeyedLocks()
        self._tasks = tasks
        self.inside: list[str] = []
        self._go: dict[str, asyncio.Event] = {}

    def hold(self, who: str, *keys: str, shared: tuple[str, ...] = ()) -> asyncio.Task[None]:
        self._go[who] = asyncio.Event()
        return self._tasks.create_task(self._hold(who, keys, shared), name=who)

    async def _hold(self, who: str, keys: tuple[str, ...], shared: tuple[str, ...]) -> None:
        async with self.locks.hold(*keys, shared=shared):
            self.inside.append(who)
            try:
                await self._go[who].wait()
            finally:
                self.inside.remove(who)

    async def leave(self, who: str) -> None:
        self._go[who].set()
        await turns()


async def test_one_alone_or_many_together() -> None:
    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        crew.hold("a", "k")
        await turns()
        crew.hold("b", shared=("k",))
        crew.hold("c", shared=("k",))
        await turns()
        assert crew.inside == ["a"]
        await crew.leave("a")
        assert crew.inside == ["b", "c"]
        crew.hold("d", "k")
        crew.hold("e", shared=("k",))
        await turns()
        assert crew.inside == ["b", "c"], "e must not pass d, or d may wait for ever"
        await crew.leave("b")
        assert crew.inside == ["c"]
        await crew.leave("c")
        assert crew.inside == ["d"]
        await crew.leave("d")
        assert crew.inside == ["e"]
        await crew.leave("e")
        assert len(crew.locks) == 0


async def test_different_keys_do_not_meet() -> None:
    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        crew.hold("a", "k")
        crew.hold("b", "l")
        await turns()
        assert crew.inside == ["a", "b"]
        await crew.leave("a")
        await crew.leave("b")


async def test_a_key_named_twice_is_held_once_and_alone() -> None:
    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        crew.hold("a", "k", "k", shared=("k",))
        crew.hold("b", shared=("k",))
        await turns()
        assert crew.inside == ["a"]
        await crew.leave("a")
        assert crew.inside == ["b"]
        await crew.leave("b")


async def test_opposite_orders_cannot_wait_in_a_circle() -> None:
    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        crew.hold("a", "k", "l")
        crew.hold("b", "l", "k")
        await turns()
        assert crew.inside == ["a"]
        await crew.leave("a")
        assert crew.inside == ["b"]
        await crew.leave("b")


async def test_a_cancelled_wait_lets_those_behind_pass() -> None:
    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        crew.hold("a", shared=("k",))
        await turns()
        blocker = crew.hold("b", "j", "k")
        crew.hold("c", shared=("k",))
        crew.hold("d", "j")
        await turns()
        assert crew.inside == ["a"]
        blocker.cancel()
        await turns()
        assert crew.inside == ["a", "c", "d"], "what b held and what it waited for is free"
        for who in ("a", "c", "d"):
            await crew.leave(who)
        assert len(crew.locks) == 0


async def test_a_cancellation_at_the_very_moment_of_entry_gives_the_key_back() -> None:
    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        first = crew.hold("a", "k")
        second = crew.hold("b", "k")
        crew.hold("c", "k")
        await turns()
        first.cancel()
        while not first.done():  # a has left, b's turn has come, but b has not run yet
            await asyncio.sleep(0)
        second.cancel()
        await turns()
        assert crew.inside == ["c"]
        await crew.leave("c")
        assert len(crew.locks) == 0


async def test_two_neighbours_cancelled_together() -> None:
    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        names = "abcd"
        held = [crew.hold(who, "k") for who in names]
        await turns()
        for task in held:
            task.cancel()
        await turns()
        assert crew.inside == []
        assert len(crew.locks) == 0


@pytest.mark.parametrize("seed", range(30))
async def test_nobody_meets_whom_he_must_not_whatever_is_cancelled(seed: int) -> None:
    rng = random.Random(seed)
    locks: KeyedLocks[int] = KeyedLocks()
    alone: Counter[int] = Counter()
    shared: Counter[int] = Counter()
    entered = 0

    async def visit(keys: set[int], with_others: set[int], stay: int) -> None:
        nonlocal entered
        async with locks.hold(*keys, shared=with_others):
            alone.update(keys)
            shared.update(with_others - keys)
            entered += 1
            try:
                for key in keys:
                    assert alone[key] == 1
                    assert shared[key] == 0
                for key in with_others - keys:
                    assert alone[key] == 0
                for _ in range(stay):
                    await asyncio.sleep(0)
            finally:
                alone.subtract(keys)
                shared.subtract(with_others - keys)

    def some() -> set[int]:
        return set(rng.sample(range(5), rng.randrange(3)))

    async with asyncio.TaskGroup() as tasks:
        visits = [tasks.create_task(visit(some(), some(), rng.randrange(4))) for _ in range(150)]
        for _ in range(40):
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            rng.choice(visits).cancel()
    assert entered > 100
    assert len(locks) == 0
