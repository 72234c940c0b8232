"""Say what repeats itself once, and then once a minute how often it has come again."""

from __future__ import annotations

from collections.abc import Hashable

from milvus_coord.runtime.clock import Clock


class SaySeldom:
    """One line a change: the same again within `every_s` seconds is only counted."""

    def __init__(self, clock: Clock, every_s: float = 60.0) -> None:
        self._clock, self._every_s = clock, every_s
        self._said: Hashable = None
        self._due_s = 0.0
        self._unsaid = 0

    def due(self, what: Hashable) -> int | None:
        """How many were not said since the last one, when this one is to be said; else None."""
        now_s = self._clock.boottime()
        if what == self._said and now_s < self._due_s:
            self._unsaid += 1
            return None
        unsaid, self._unsaid = self._unsaid, 0
        self._said, self._due_s = what, now_s + self._every_s
        return unsaid
