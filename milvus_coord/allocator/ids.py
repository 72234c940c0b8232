"""Hand out unique ids, on the same kind of stored bound as timestamps."""

from __future__ import annotations

from typing import Final

from milvus_coord.allocator.oracle import SAVE_AHEAD_NS, Oracle
from milvus_coord.allocator.timestamps import COUNT_TOO_SMALL, TICK_S, BadCount
from milvus_coord.allocator.window import Window
from milvus_coord.model.errors import CoordError
from milvus_coord.model.timestamps import Timestamp, compose, physical_ms
from milvus_coord.runtime.clock import Clock

_MS: Final = 1_000_000
_COUNT_MAX: Final = (1 << 32) - 1
_RESERVE: Final = compose(SAVE_AHEAD_NS // _MS, 0) // 2
_TRIES: Final = 10


class IdAllocator:
    """Ids of one leadership: they start at a millisecond of their own and count up from there.

    Go 2.2.16 writes the bound once per start and never again, so that its ids are only unique
    while fewer than 262144 are taken in each millisecond of its life. Here the bound is saved
    again before an id would reach it.

    Call `start` before anything else, and `tick` every `TICK_S` seconds by one task.
    """

    def __init__(self, window: Window, clock: Clock) -> None:
        self._window, self._clock = window, clock
        self._next = 0
        self._limit = 0
        self._wanted = 0

    async def start(self, stored_bound_ns: int) -> None:
        """Begin above `stored_bound_ns` and save the new bound. Raises FencedOff."""
        oracle = Oracle.after(stored_bound_ns, self._clock.wall_ns())
        await self._window.save(oracle.bound_ns)
        self._next = compose(oracle.physical_ns // _MS, 1)
        self._limit = _limit(oracle.bound_ns)

    async def take(self, count: int) -> int:
        """The first of `count` consecutive ids.

        Raises BadCount for a count that is not a positive 32-bit number, and CoordError when the
        bound could not be moved on in time.
        """
        if count == 0:
            raise BadCount(COUNT_TOO_SMALL)
        if not 0 < count <= _COUNT_MAX:
            raise BadCount(f"id count must be 1..{_COUNT_MAX}, not {count}")
        for _ in range(_TRIES):
            if self._next + count <= self._limit:
                first = self._next
                self._next += count
                return first
            self._wanted = max(self._wanted, count)
            await self._clock.sleep(TICK_S)
        raise CoordError("no id to be had: the stored bound could not be moved on")

    async def tick(self) -> None:
        """Save a higher bound when what is left runs low. Raises what saving raises."""
        needed = self._next + self._wanted + _RESERVE
        if needed <= self._limit:
            return
        bound_ns = Oracle.ahead(physical_ms(Timestamp(needed)) * _MS)
        await self._window.save(bound_ns)
        self._limit = _limit(bound_ns)
        self._wanted = 0


def _limit(bound_ns: int) -> int:
    """The first id that may not be handed out under `bound_ns`."""
    return compose(bound_ns // _MS, 0)
