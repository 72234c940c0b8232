"""Hand out hybrid timestamps that never repeat and never go back, across hand-overs too."""

from __future__ import annotations

from typing import Final

from milvus_coord.allocator.oracle import Oracle
from milvus_coord.allocator.window import Window
from milvus_coord.model.errors import CoordError
from milvus_coord.model.timestamps import LOGICAL_MAX, Timestamp
from milvus_coord.runtime.clock import Clock

TICK_S: Final = 0.05
_TRIES: Final = 10


COUNT_TOO_SMALL: Final = "tso count should be positive"
"""Go 2.2.16's words, for ids as well."""


class BadCount(CoordError):
    """A caller asked for a number of values that can never be handed out."""


class TimestampAllocator:
    """The timestamp oracle of one leadership.

    Call `start` before anything else, and `tick` every `TICK_S` seconds by one task.
    """

    def __init__(self, window: Window, clock: Clock) -> None:
        self._window, self._clock = window, clock
        self._oracle: Oracle | None = None

    async def start(self, stored_bound_ns: int) -> None:
        """Begin above `stored_bound_ns` and save the new bound. Raises FencedOff."""
        oracle = Oracle.after(stored_bound_ns, self._clock.wall_ns())
        await self._window.save(oracle.bound_ns)
        self._oracle = oracle

    async def take(self, count: int) -> Timestamp:
        """The first of `count` consecutive timestamps.

        Raises BadCount for a count that no millisecond can hold (Go 2.2.16 tries for half a
        second before it says so), and CoordError when the clock cannot move, which means that
        the bound could not be saved.
        """
        if count <= 0:
            raise BadCount(COUNT_TOO_SMALL)
        if count >= LOGICAL_MAX:
            raise BadCount("can not get timestamp")
        for _ in range(_TRIES):
            first = self._started.take(count)
            if first is not None:
                return first
            await self._clock.sleep(TICK_S)
        raise CoordError("no timestamp to be had: the stored bound could not be moved on")

    async def tick(self) -> None:
        """Follow the wall clock, saving the bound first where needed. Raises what saving raises."""
        oracle = self._started
        physical_ns = oracle.next_physical(self._clock.wall_ns())
        if physical_ns is None:
            return
        if oracle.needs_save(physical_ns):
            bound_ns = Oracle.ahead(physical_ns)
            await self._window.save(bound_ns)
            oracle.bound_ns = bound_ns
        oracle.move(physical_ns)

    @property
    def saved_bound_ns(self) -> int:
        """The stored bound, Unix nanoseconds."""
        return self._started.bound_ns

    @property
    def physical_ns(self) -> int:
        """Where the clock stands, Unix nanoseconds."""
        return self._started.physical_ns

    @property
    def _started(self) -> Oracle:
        if self._oracle is None:
            raise CoordError("the timestamp oracle has not been started")
        return self._oracle
