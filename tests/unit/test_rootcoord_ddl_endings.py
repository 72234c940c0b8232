"""The end of a term: nothing outlives it, and nothing keeps it from ending."""

from __future__ import annotations

import asyncio

import pytest

from milvus_coord.model.errors import NotServing
from milvus_coord.role.tasks.term_tasks import TermTasks, abreast
from tests.unit.rootcoord_fakes import Broken


class Over(Exception):
    pass


async def test_a_cancellation_is_not_lost_when_a_child_fails_at_the_same_time() -> None:
    entered = asyncio.Event()

    async def child() -> None:
        try:
            entered.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Broken("while being cancelled") from None

    task = asyncio.create_task(abreast(child(), child()))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_all_end_before_the_first_error_is_raised() -> None:
    ended: list[str] = []

    async def fails(text: str) -> None:
        raise Broken(text)

    async def takes_long() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        ended.append("long")

    with pytest.raises(Broken, match="first"):
        await abreast(takes_long(), fails("first"), fails("second"))
    assert ended == ["long"]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr] # there is one


async def test_nothing_starts_while_the_term_is_being_left() -> None:
    begun: list[str] = []

    async def endless(name: str) -> None:
        begun.append(name)
        await asyncio.Event().wait()

    async def starts_another(tasks: TermTasks) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            with pytest.raises(NotServing):
                tasks.start(endless("late"), name="late")
            begun.append("refused")

    async def lead() -> None:
        async with asyncio.TaskGroup() as group:
            tasks = TermTasks(group)
            tasks.start(endless("early"), name="early")
            tasks.start(starts_another(tasks), name="starts another")
            await asyncio.sleep(0)
            raise Over

    with pytest.raises(ExceptionGroup) as ended:
        await lead()
    assert [type(error) for error in ended.value.exceptions] == [Over]
    assert begun == ["early", "refused"]
