"""Jobs: what comes of them, for their callers and for the term."""

from __future__ import annotations

import asyncio

import pytest

from milvus_coord.model.errors import NotServing, Refused
from milvus_coord.role.tasks.jobs import Jobs


class Over(Exception):
    pass


def jobs_of(group: asyncio.TaskGroup, limit: int = 10) -> Jobs:
    return Jobs(group, name="test", limit=limit, noun="statements")


async def test_nothing_starts_while_the_term_is_being_left() -> None:
    begun: list[str] = []

    async def endless(name: str) -> None:
        begun.append(name)
        await asyncio.Event().wait()

    async def starts_another(jobs: Jobs) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            with pytest.raises(NotServing):
                jobs.start("late", endless("late"))
            begun.append("refused")

    async def lead() -> None:
        async with asyncio.TaskGroup() as group:
            jobs = jobs_of(group)
            jobs.start("early", endless("early"))
            jobs.start("starts another", starts_another(jobs))
            await asyncio.sleep(0)
            raise Over

    with pytest.raises(ExceptionGroup) as ended:
        await lead()
    assert [type(error) for error in ended.value.exceptions] == [Over]
    assert begun == ["early", "refused"]


async def test_a_job_gives_its_caller_what_it_returns_or_raises() -> None:
    async def returns() -> int:
        return 7

    async def fails() -> int:
        raise ValueError("own")

    async with asyncio.TaskGroup() as group:
        jobs = jobs_of(group)
        assert await jobs.run("returns", returns()) == 7
        with pytest.raises(ValueError, match="own"):
            await jobs.run("fails", fails())
        assert jobs.running == 0


async def test_a_job_outlives_the_caller_that_hangs_up() -> None:
    go_on, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        done.set()
        raise ValueError("nobody listens any more")

    async with asyncio.TaskGroup() as group:
        jobs = jobs_of(group)
        caller = asyncio.create_task(jobs.run("work", work()))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert jobs.running == 1
        go_on.set()
        await done.wait()
    assert jobs.running == 0


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_the_end_of_the_term_is_told_to_callers_whenever_it_comes(turns: int) -> None:
    async def endless() -> None:
        await asyncio.Event().wait()

    async def term() -> asyncio.Task[None]:
        async with asyncio.TaskGroup() as group:
            caller = asyncio.create_task(jobs_of(group).run("endless", endless()))
            await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in asyncio.all_tasks():
                if task.get_name() == "test endless":
                    task.cancel()
        return caller

    with pytest.raises(NotServing, match="endless: the term ended first"):
        await (await term())


async def test_more_jobs_than_the_limit_are_refused() -> None:
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()

    async with asyncio.TaskGroup() as group:
        jobs = jobs_of(group, limit=1)
        first = asyncio.create_task(jobs.run("first", work()))
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="second: 1 statements are waiting already, try later"):
            await jobs.run("second", work())
        go_on.set()
        await first
        await jobs.run("third", work())
