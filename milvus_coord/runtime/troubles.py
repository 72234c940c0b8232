"""What a process cannot do, and has not been able to for a while."""

from __future__ import annotations

from typing import Final

LASTING_S: Final = 3.0
"""Shorter trouble passes, and is in the log."""


class Troubles:
    """A sentence for each thing that cannot be done: "save the bounds: permission denied"."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}

    def lasts(self, purpose: str, why: str) -> bool:
        """`purpose` cannot be done; whether that is new."""
        new = purpose not in self._why
        self._why[purpose] = why
        return new

    def over(self, purpose: str) -> None:
        """It can be done again."""
        self._why.pop(purpose, None)

    @property
    def now(self) -> tuple[str, ...]:
        """All of them, "cannot ...", in the order in which they began."""
        return tuple(f"cannot {purpose}: {why}" for purpose, why in self._why.items())
