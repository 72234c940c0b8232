"""Much work that waits, as data: a few tasks do it, however much there is."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Final, Generic, TypeVar

from milvus_coord.model.errors import NotServing
from milvus_coord.role.tasks.jobs import Jobs
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.race import within

W = TypeVar("W")

_FAILED_S: Final = 0.3
"""Seconds that a task rests after a turn that failed: where all fail, few tries a second do."""
_BATCH: Final = 64
"""So many become due before the loop is given to others."""


class Backlog(Generic[W]):
    """Work in lanes, first come first served in each; a lane is named after who is asked.

    What waits costs memory and nothing else: it ends with the term in no time.

    Args:
        name: the first part of the tasks' names, after that of `jobs`.
        turn: does one try; it puts the work again when there is more to do, and says whether it
            went well. What it raises ends the term.
        at_once: the most tasks of one lane.
    """

    def __init__(
        self,
        jobs: Jobs,
        clock: Clock,
        *,
        name: str,
        turn: Callable[[W], Awaitable[bool]],
        at_once: int,
    ) -> None:
        self._jobs, self._clock, self._name = jobs, clock, name
        self._turn, self._at_once = turn, at_once
        self._ready: defaultdict[str, deque[W]] = defaultdict(deque)
        self._workers: Counter[str] = Counter()
        self._later: list[tuple[float, int, str, W]] = []
        self._numbers = count()
        self._sooner = asyncio.Event()
        self._waiting = False

    def put(self, lane: str, work: W, *, after_s: float = 0.0) -> bool:
        """Let `work` have a turn, not before `after_s` seconds; False when the term is over."""
        try:
            if after_s <= 0:
                self._let(lane, work)
            else:
                self._let_later(lane, work, self._clock.boottime() + after_s)
        except NotServing:
            return False
        return True

    def _let(self, lane: str, work: W) -> None:
        ready = self._ready[lane]
        ready.append(work)
        if self._workers[lane] < self._at_once:
            self._jobs.start(f"{self._name}.{lane}", self._work(lane, ready))
            self._workers[lane] += 1

    def _let_later(self, lane: str, work: W, due_s: float) -> None:
        entry = (due_s, next(self._numbers), lane, work)
        heapq.heappush(self._later, entry)
        if not self._waiting:
            self._jobs.start(f"{self._name}.later", self._wait())
            self._waiting = True
        elif self._later[0] is entry:
            self._sooner.set()

    async def _work(self, lane: str, ready: deque[W]) -> None:
        try:
            while ready:
                if not await self._turn(ready.popleft()):
                    await self._clock.sleep(_FAILED_S)
        finally:
            self._workers[lane] -= 1

    async def _wait(self) -> None:
        """Let what was put off go on when it is due, until nothing is put off any more."""
        try:
            while self._later:
                self._sooner.clear()
                pause_s = self._later[0][0] - self._clock.boottime()
                if pause_s > 0:
                    with suppress(TimeoutError):
                        sooner = self._sooner.wait()
                        await within(
                            pause_s, sooner, clock=self._clock, name=f"{self._name}.sooner"
                        )
                    continue
                now_s = self._clock.boottime()
                for _ in range(_BATCH):
                    if not self._later or self._later[0][0] > now_s:
                        break
                    _, _, lane, work = heapq.heappop(self._later)
                    self._let(lane, work)
                await asyncio.sleep(0)
        finally:
            self._waiting = False
