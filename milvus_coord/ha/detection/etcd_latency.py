"""How fast etcd has answered us of late."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from milvus_coord.runtime.clock import Clock

T = TypeVar("T")

_REMEMBERED: Final = 5


class EtcdLatency:
    """The times of the last few calls that were answered: how long an answer takes.

    `note` is told each, in seconds.

    Attributes:
        last_s: of the last one; 0.0 when there is none.
    """

    def __init__(self, clock: Clock, note: Callable[[float], None] = lambda _: None) -> None:
        self._clock, self._note = clock, note
        self._took_s: deque[float] = deque(maxlen=_REMEMBERED)
        self.last_s = 0.0

    async def timed(self, call: Awaitable[T]) -> T:
        """Await a call, and remember how long it took."""
        began_s = self._clock.boottime()
        result = await call
        took_s = self._clock.boottime() - began_s
        self._took_s.append(took_s)
        self.last_s = took_s
        self._note(took_s)
        return result

    @property
    def typical_s(self) -> float:
        """Their median, 0.0 when there are none: one call over a new connection tells little."""
        return statistics.median(self._took_s) if self._took_s else 0.0

    @property
    def worst_s(self) -> float:
        """The longest of them, 0.0 when there are none."""
        return max(self._took_s, default=0.0)
