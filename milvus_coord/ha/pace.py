"""How fast etcd has answered us of late."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from milvus_coord.runtime.clock import Clock

T = TypeVar("T")

_REMEMBERED: Final = 5


class Pace:
    """The times of the last few calls that were answered: how long an answer takes.

    `note` is told each, in seconds.
    """

    def __init__(self, clock: Clock, note: Callable[[float], None] = lambda _: None) -> None:
        self._clock, self._note = clock, note
        self._took_s: deque[float] = deque(maxlen=_REMEMBERED)

    async def timed(self, call: Awaitable[T]) -> T:
        """Await a call, and remember how long it took."""
        began_s = self._clock.boottime()
        result = await call
        took_s = self._clock.boottime() - began_s
        self._took_s.append(took_s)
        self._note(took_s)
        return result

    @property
    def worst_s(self) -> float:
        """The longest of them, 0.0 when there are none."""
        return max(self._took_s, default=0.0)
