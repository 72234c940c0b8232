"""Periodic work as data: what a turn does, how often, and which trouble is waited out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from milvus_coord.model.errors import CoordError
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.race import first_of
from milvus_coord.runtime.retry import Retry
from milvus_coord.runtime.say_once import SayOnce
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.runtime.troubles import Troubles
from milvus_coord.telemetry.log import log

Turn = Callable[[], Awaitable[str | None]]
"""One turn. It returns a sentence about what it found, or None; the log gets what has changed."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A turn that is taken again and again, until it is cancelled or fails.

    Example: `Loop("rootcoord.counts", 5.0, show_counts)`.

    Args:
        name: of the task.
        every_s: seconds from the end of a turn to the next: the slower whom a turn asks, the less
            often it asks.
        wake: when somebody sets it, the next turn begins early.
        first_after_s: seconds before the first turn.
        fixed_rate: `every_s` counts from the beginning of a turn. One that takes longer is
            followed by the next at once, never accompanied by it.
        on: trouble that is waited out: the turn is taken again after a growing pause. FencedOff
            is raised even if a class of `on` includes it.
        purpose: what could not be done, for the log line about trouble: "save the bounds".
        retry_first_s, retry_cap_s: seconds of the first and of the longest pause after trouble.
    """

    name: str
    every_s: float
    turn: Turn
    wake: asyncio.Event | None = None
    first_after_s: float = 0.0
    fixed_rate: bool = False
    on: tuple[type[CoordError], ...] = ()
    purpose: str = ""
    retry_first_s: float = 0.1
    retry_cap_s: float = 5.0

    async def run(self, clock: Clock, troubles: Troubles | None = None) -> None:
        """Take turns for ever. Raises what a turn raises, `on` excepted, and FencedOff.

        Trouble that lasts is noted in `troubles`.
        """
        retry = Retry(
            clock,
            self.purpose or f"take a turn of {self.name}",
            on=self.on,
            first_s=self.retry_first_s,
            cap_s=self.retry_cap_s,
            troubles=troubles,
        )
        said = SayOnce[str | None](None)
        if self.first_after_s:
            await self._pause(clock, self.first_after_s)
        while True:
            began_s = clock.boottime()
            sentence = await retry.run(self._turn)
            if said.is_news(sentence) and sentence:
                log.info(sentence, loop=self.name)
            late_s = clock.boottime() - began_s if self.fixed_rate else 0.0
            await self._pause(clock, self.every_s - late_s)

    async def _turn(self) -> str | None:
        if self.wake is not None:
            self.wake.clear()  # before the turn looks: what comes to light in it makes another
        return await self.turn()

    async def _pause(self, clock: Clock, seconds: float) -> None:
        if self.wake is None:
            await clock.sleep(seconds)
        else:
            await first_of(_until_set(self.wake), clock.sleep(seconds), name=f"{self.name}.pause")


async def _until_set(event: asyncio.Event) -> None:
    await event.wait()


def run_loops(
    tasks: TaskGroup, loops: Iterable[Loop], clock: Clock, troubles: Troubles | None = None
) -> None:
    """Start each loop as a task of `tasks`, which end it."""
    for loop in loops:
        tasks.create_task(loop.run(clock, troubles), name=loop.name)
