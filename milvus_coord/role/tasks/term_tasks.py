"""Tasks that end with the term, whenever they are started."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from milvus_coord.model.errors import NotServing
from milvus_coord.runtime.taskgroup import TaskGroup

T = TypeVar("T")


class TermTasks:
    """A TaskGroup that starts nothing any more once it is being left.

    That of Python 3.11 itself does, as long as one of its tasks has not ended yet, and then waits
    for the new one without cancelling it: the term would never end.
    """

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group, self._over = group, False
        self._running: set[asyncio.Task[None]] = set()
        end = group.create_task(self._wait(), name="rootcoord.ddl.scope")
        end.add_done_callback(self._close)

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Let `work` run as a child of the group. Raises NotServing when the term is over."""
        try:
            if self._over:
                raise RuntimeError
            task = self._group.create_task(work, name=name)
        except RuntimeError:
            work.close()
            raise NotServing(f"{name}: not begun, the term is over") from None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _wait(self) -> None:
        await asyncio.Event().wait()

    def _close(self, _: asyncio.Task[None]) -> None:
        """The group cancels its tasks; so do we with those that came after it did."""
        self._over = True
        for task in self._running:
            if not task.cancelling():
                task.cancel()


async def abreast(*works: Coroutine[Any, Any, T]) -> list[T]:
    """Run all at once; when all have ended, return what they returned, or raise the first error.

    No child raises into the TaskGroup: that of Python 3.11 forgets that it was cancelled when a
    child fails as well.
    """
    try:
        async with TaskGroup() as tasks:
            ended = [
                tasks.create_task(_outcome(work), name="rootcoord.ddl.abreast") for work in works
            ]
    finally:
        for work in works:
            work.close()  # if cancelled before its first step
    outcomes = [task.result() for task in ended]
    for _, error in outcomes:
        if error is not None:
            raise error
    return [result for results, _ in outcomes for result in results]


async def _outcome(work: Coroutine[Any, Any, T]) -> tuple[tuple[T, ...], Exception | None]:
    try:
        return (await work,), None
    except Exception as error:  # the caller's
        return (), error
