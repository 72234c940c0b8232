"""A cancellation that meets an error in a group is not lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from milvus_coord.runtime.taskgroup import TaskGroup


class Trouble(Exception):
    pass


async def ends_slowly(turns: int) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        for _ in range(turns):
            await asyncio.sleep(0)


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("error_first", [True, False])
async def test_a_loop_over_groups_can_be_cancelled_at_any_moment(
    turns: int, error_first: bool
) -> None:
    fail = asyncio.Event()

    async def child() -> None:
        await fail.wait()
        raise Trouble

    async def rounds() -> None:
        while True:
            try:
                async with TaskGroup() as group:
                    group.create_task(child())
                    group.create_task(ends_slowly(3))
            except* Trouble:
                fail.clear()

    task = asyncio.create_task(rounds())
    await asyncio.sleep(0.001)
    for step in (True, False) if error_first else (False, True):
        if step:
            fail.set()
        else:
            task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
    done, _ = await asyncio.wait([task], timeout=5)
    assert done, "the cancellation was lost"
    assert task.cancelled()


async def test_an_error_alone_leaves_no_cancellation_behind() -> None:
    async def child() -> None:
        raise Trouble

    with suppress(BaseExceptionGroup):
        async with TaskGroup() as group:
            group.create_task(child())
            group.create_task(ends_slowly(2))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_groups_within_groups() -> None:
    async def child() -> None:
        raise Trouble

    async def inner() -> None:
        with suppress(BaseExceptionGroup):
            async with TaskGroup() as group:
                group.create_task(child())
                group.create_task(ends_slowly(4))

    async with asyncio.timeout(5):
        async with TaskGroup() as outer:
            outer.create_task(inner())
            outer.create_task(inner())
