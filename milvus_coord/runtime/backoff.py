"""A growing pause between tries."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that double from `first_s` up to `cap_s`, each shortened by up to `jitter` of itself.

    One instance serves one kind of trouble; `reset` it when the trouble is over.
    """

    def __init__(self, first_s: float, cap_s: float, *, jitter: float = 0.2) -> None:
        if not 0 < first_s <= cap_s:
            raise ValueError(f"backoff needs 0 < first <= cap, got {first_s} and {cap_s}")
        self._first_s, self._cap_s, self._jitter = first_s, cap_s, jitter
        self._pause_s = first_s

    def next(self) -> float:
        """The pause to make now, in seconds; the one after it is twice as long."""
        pause_s = self._pause_s
        self._pause_s = min(self._cap_s, pause_s * 2)
        return pause_s * (1 - random.random() * self._jitter)

    def reset(self) -> None:
        """Start over from the first pause."""
        self._pause_s = self._first_s
