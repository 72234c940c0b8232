"""Injected time: boot time for deadlines, wall time for what users see."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """Where the code gets its time from; tests hand in a `ManualClock`."""

    def boottime(self) -> float:
        """Seconds since boot, suspend included (CLOCK_BOOTTIME): the clock of every deadline."""

    def wall_ns(self) -> int:
        """Unix time in nanoseconds; may jump. Only for timestamps that users see."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; zero or less yields once."""


class SystemClock:
    """The machine's clocks."""

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told; sleepers wake in the order of their deadlines.

    Args:
        start_s: first value of `boottime`, in seconds.
        wall_ns: first value of `wall_ns`, Unix nanoseconds.
    """

    def __init__(self, start_s: float = 1000.0, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self._boot_s = start_s
        self._wall_ns = wall_ns
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def boottime(self) -> float:
        return self._boot_s

    def wall_ns(self) -> int:
        return self._wall_ns

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._boot_s + seconds, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Move both clocks forward and wake every sleeper whose deadline has come."""
        self._boot_s += seconds
        self._wall_ns += round(seconds * 1e9)
        while self._sleepers and self._sleepers[0][0] <= self._boot_s:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)

    def step_wall(self, seconds: float) -> None:
        """Jump the wall clock alone, forward or back."""
        self._wall_ns += round(seconds * 1e9)
