"""How long each phase of a takeover takes."""

from __future__ import annotations

from milvus_coord.runtime.clock import Clock


class Phases:
    """A stop watch with names; milliseconds in the order in which the phases ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s = clock.boottime()
        self.took_ms: dict[str, float] = {}

    def book(self, name: str, seconds: float) -> None:
        """A phase that was measured elsewhere."""
        self.took_ms[name] = round(seconds * 1000, 1)
        self._since_s = self._clock.boottime()

    def end(self, name: str) -> None:
        """The phase `name` has lasted since the one before it ended."""
        self.book(name, self._clock.boottime() - self._since_s)
