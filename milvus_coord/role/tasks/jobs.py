"""Jobs outlive the callers that wait for them, and end with the term."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from milvus_coord.model.errors import NotServing, Refused

T = TypeVar("T")


class Jobs:
    """Starts tasks in a group that a term owns.

    Args:
        name: the first part of the tasks' names, `rootcoord.ddl`.
        limit: so many jobs may have a caller that waits; `run` refuses more.
        noun: what users call such jobs, for that refusal: "statements".
    """

    def __init__(self, tasks: asyncio.TaskGroup, *, name: str, limit: int, noun: str) -> None:
        self._tasks, self._name, self._limit, self._noun = tasks, name, limit, noun
        self.running = 0

    async def run(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, or raise what it raises, which harms nobody else.

        Cancelling the caller does not cancel `work`. Raises Refused when there are too many jobs
        already, NotServing when the term is over or ends before the job does.
        """
        if self.running >= self._limit:
            work.close()
            raise Refused(f"{name}: {self.running} {self._noun} are waiting already, try later")
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        results: list[T] = []
        errors: list[Exception] = []

        async def attempt() -> None:
            try:
                results.append(await work)
            except Exception as error:  # the caller's, whatever it is
                errors.append(error)

        def ended(_: asyncio.Task[None]) -> None:
            self.running -= 1
            work.close()  # if it was cancelled before its first step
            if outcome.done():  # nobody waits any more
                return
            if results:
                outcome.set_result(results[0])
            else:
                ended_first = f"{name}: the term ended first, what was done of it is unknown"
                outcome.set_exception(errors[0] if errors else NotServing(ended_first))

        try:
            task = self.start(name, attempt())
        except NotServing:
            work.close()
            raise
        self.running += 1
        task.add_done_callback(ended)
        return await outcome

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let `work` run for which nobody waits; what it raises ends the term.

        Raises NotServing when the term is over: `work` is closed then.
        """
        try:
            return self._tasks.create_task(work, name=f"{self._name} {name}")
        except RuntimeError:  # the group is being left
            work.close()
            raise NotServing(f"{name}: not begun, the term is over") from None
