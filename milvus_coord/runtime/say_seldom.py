"""Say what repeats itself once, and then once a minute how often it has come again."""

from __future__ import annotations

from collections.abc import Hashable

from milvus_coord.runtime.clock import Clock


class SaySeldom:
    """A line a minute for each thing: what comes again within `every_s` seconds is only counted.

    Also when it comes in turns with others, as on a starved machine. Remembers each thing for
    good: they must be few, such as the values of an enum.
    """

    def __init__(self, clock: Clock, every_s: float = 60.0) -> None:
        self._clock, self._every_s = clock, every_s
        self._due_s: dict[Hashable, float] = {}
        self._unsaid: dict[Hashable, int] = {}

    def due(self, what: Hashable) -> int | None:
        """How often `what` was not said since the last time, when it is to be said; else None."""
        now_s = self._clock.boottime()
        if now_s < self._due_s.get(what, now_s):
            self._unsaid[what] = self._unsaid.get(what, 0) + 1
            return None
        self._due_s[what] = now_s + self._every_s
        return self._unsaid.pop(what, 0)
