"""A backlog: order, pauses, few tasks, the end of the term."""

from __future__ import annotations

import asyncio

import pytest

from milvus_coord.model.errors import FencedOff
from milvus_coord.role.tasks.backlog import Backlog
from milvus_coord.role.tasks.jobs import Jobs
from milvus_coord.runtime.clock import ManualClock


class Scene:
    """`gate` holds every turn up; work below 0 fails once and is put again as its opposite."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.clock = ManualClock()
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun: list[int] = []
        self.done: list[int] = []
        jobs = Jobs(group, name="test", limit=1, noun="jobs")
        self.backlog = Backlog[int](jobs, self.clock, name="b", turn=self.turn, at_once=3)

    async def turn(self, work: int) -> bool:
        if work == 99:
            raise FencedOff("99")
        self.begun.append(work)
        await self.gate.wait()
        if work < 0:
            self.backlog.put("x", -work, after_s=5.0)
            return False
        self.done.append(work)
        return True

    async def turns(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)


async def test_first_come_first_served_by_few_tasks() -> None:
    async with asyncio.TaskGroup() as group:
        scene = Scene(group)
        scene.gate.clear()
        before = len(asyncio.all_tasks())
        for work in range(1, 50):
            scene.backlog.put("x", work)
        await scene.turns()
        assert len(asyncio.all_tasks()) - before == 3
        assert scene.done == []
        scene.gate.set()
        await scene.turns()
        assert scene.begun == list(range(1, 50))
        assert sorted(scene.done) == scene.begun
        assert len(asyncio.all_tasks()) == before


async def test_a_lane_that_is_stuck_stops_no_other() -> None:
    async with asyncio.TaskGroup() as group:
        scene = Scene(group)
        for work in range(-9, 0):
            scene.backlog.put("x", work)
        scene.backlog.put("y", 7)
        await scene.turns()
        assert scene.done == [7]
        for _ in range(200):
            scene.clock.advance(0.1)
            await scene.turns()
        assert sorted(scene.done) == [1, 2, 3, 4, 5, 6, 7, 7, 8, 9]


async def test_what_is_put_off_comes_in_the_order_of_its_time() -> None:
    async with asyncio.TaskGroup() as group:
        scene = Scene(group)
        for work, after_s in ((3, 30.0), (1, 10.0), (2, 20.0)):
            scene.backlog.put("x", work, after_s=after_s)
        done = []
        for _ in range(4):
            await scene.turns()
            done.append(list(scene.done))
            scene.clock.advance(10.0)
        assert done == [[], [1], [1, 2], [1, 2, 3]]


async def test_who_is_fenced_off_ends_the_term_and_nothing_begins_after_it() -> None:
    scenes: list[Scene] = []

    async def lead() -> None:
        async with asyncio.TaskGroup() as group:
            scenes.append(Scene(group))
            scenes[0].backlog.put("x", 1, after_s=10.0)
            scenes[0].backlog.put("x", 99)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as ended:
        await lead()
    assert [type(error) for error in ended.value.exceptions] == [FencedOff]
    assert not scenes[0].backlog.put("z", 2)
    assert not scenes[0].backlog.put("z", 2, after_s=1.0)
