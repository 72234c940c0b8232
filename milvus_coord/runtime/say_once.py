"""Say something when it changes, and nothing while it stays."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class SayOnce(Generic[T]):
    """Remembers what was said last, at first nothing (None): `if said.is_news(why): log.warn(...)`.

    One instance serves one fact, such as why a port cannot be had.
    """

    def __init__(self) -> None:
        self.last: T | None = None

    def is_news(self, fact: T | None) -> bool:
        """Whether `fact` differs from what was said last; it counts as said from now on."""
        changed = fact != self.last
        self.last = fact
        return changed
