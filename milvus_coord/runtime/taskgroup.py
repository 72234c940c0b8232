"""Tasks with a common end, as `asyncio.TaskGroup`, for which no cancellation is lost."""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType


class TaskGroup(asyncio.TaskGroup):
    """What Python 3.13 does when a cancellation from outside meets an error inside.

    Until 3.12 the error alone is raised then. Who catches it goes on as if nobody had cancelled it,
    and who has cancelled it waits for ever: a term would not end.
    """

    if sys.version_info < (3, 13):
        _parent_cancel_requested: bool  # asyncio's own

        async def __aenter__(self) -> TaskGroup:
            await super().__aenter__()
            self._cancelled_before = _task().cancelling()
            return self

        async def __aexit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            traceback: TracebackType | None,
        ) -> None:
            taken_back = self._parent_cancel_requested
            try:
                await super().__aexit__(kind, error, traceback)
            except BaseExceptionGroup:
                task = _task()
                if self._parent_cancel_requested and not taken_back:
                    task.uncancel()  # the group's own, which it has left behind
                if task.cancelling() > self._cancelled_before:
                    task.uncancel()
                    task.cancel()  # comes through at the next await
                raise


def _task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The errors of a group, and of the groups in it."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
