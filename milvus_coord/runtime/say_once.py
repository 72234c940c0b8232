"""Say something when it changes, and nothing while it stays."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class SayOnce(Generic[T]):
    """Remembers what was said last: `if said.is_news(why): log.warn(...)`.

    One instance serves one fact, such as why a port cannot be had. `at_first` counts as said.
    """

    def __init__(self, at_first: T) -> None:
        self.last = at_first

    def is_news(self, fact: T) -> bool:
        """Whether `fact` differs from what was said last; it counts as said from now on."""
        changed = fact != self.last
        self.last = fact
        return changed
