"""Run statements to their end, whatever becomes of the callers that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from milvus_coord.model.errors import NotServing, Refused
from milvus_coord.role.tasks.term_tasks import TermTasks

T = TypeVar("T")

IN_FLIGHT_MAX: Final = 10240
"""Statements at a time, running or waiting: the length of Go 2.2.16's queue of DDL tasks."""


class Statements:
    """Each statement is a task of the term: it ends with it, or by itself.

    What a statement raises goes to its caller and harms neither the term nor other statements. A
    caller that hangs up cancels nothing.
    """

    def __init__(self, tasks: TermTasks, *, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self._tasks, self._in_flight_max = tasks, in_flight_max
        self.in_flight = 0

    async def run(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, or raise what it raises.

        Raises Refused when there are too many statements already, NotServing when the term ended
        before the statement did.
        """
        if self.in_flight >= self._in_flight_max:
            work.close()
            raise Refused(f"{name}: {self.in_flight} statements are waiting already, try later")
        statement = _Statement(work, self._ended)
        try:
            task = self._tasks.start(statement.run(), name=f"rootcoord.ddl {name}")
        except NotServing:
            work.close()
            raise
        self.in_flight += 1
        task.add_done_callback(statement.ended)
        await statement.over.wait()
        return statement.result(name)

    def _ended(self) -> None:
        self.in_flight -= 1


class _Statement(Generic[T]):
    """One statement and what came of it."""

    def __init__(self, work: Coroutine[Any, Any, T], ended: Callable[[], None]) -> None:
        self._work, self._ended = work, ended
        self._outcome: list[T] = []
        self._error: Exception | None = None
        self.over = asyncio.Event()

    async def run(self) -> None:
        try:
            self._outcome.append(await self._work)
        except Exception as error:  # whatever it is, it is the caller's
            self._error = error

    def ended(self, _: asyncio.Task[None]) -> None:
        """Also for a task that was cancelled before its first step."""
        self._work.close()
        self._ended()
        self.over.set()

    def result(self, name: str) -> T:
        if self._error is not None:
            raise self._error
        if not self._outcome:
            raise NotServing(f"{name}: the term ended first, what was done of it is unknown")
        return self._outcome[0]
