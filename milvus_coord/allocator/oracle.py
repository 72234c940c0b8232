"""The arithmetic of the timestamp oracle: pure, nothing is stored or awaited here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from milvus_coord.model.timestamps import LOGICAL_MAX, Timestamp, compose

_MS: Final = 1_000_000

SAVE_AHEAD_NS: Final = 3_000 * _MS
GUARD_NS: Final = 1 * _MS


@dataclass(slots=True)
class Oracle:
    """A clock that never goes back, and a counter within its millisecond.

    Constants and steps are those of Go 2.2.16, so that either side can continue from the other:
    the bound is saved 3 s ahead, the first logical value of a millisecond is 1. `refused` is
    whether this millisecond had too little left for somebody.
    """

    physical_ns: int
    bound_ns: int
    logical: int = 0
    refused: bool = False

    @classmethod
    def after(cls, stored_bound_ns: int, wall_ns: int) -> Oracle:
        """The oracle of a new leadership: at the wall clock, or just above the stored bound.

        `bound_ns` is what must be saved before anything is handed out.
        """
        start_ns = wall_ns
        if wall_ns - stored_bound_ns < GUARD_NS:
            start_ns = stored_bound_ns + GUARD_NS
        return cls(physical_ns=start_ns, bound_ns=cls.ahead(start_ns))

    @staticmethod
    def ahead(physical_ns: int) -> int:
        """The bound to save before the clock may stand at `physical_ns`."""
        return physical_ns + SAVE_AHEAD_NS

    def take(self, count: int) -> Timestamp | None:
        """The first of `count` consecutive timestamps, or None until the clock has moved on."""
        if self.logical + count >= LOGICAL_MAX:
            self.refused = True
            return None
        first = self.logical + 1
        self.logical += count
        return compose(self.physical_ns // _MS, first)

    def next_physical(self, wall_ns: int) -> int | None:
        """Where the clock should move to now, in nanoseconds; None to stay.

        It follows the wall clock. When that stands still or lies behind and half of the logical
        space is used, or what is left was too little, it steps on by one millisecond.
        """
        if wall_ns - self.physical_ns > GUARD_NS:
            return wall_ns
        if self.refused or self.logical > LOGICAL_MAX // 2:
            return self.physical_ns + GUARD_NS
        return None

    def needs_save(self, physical_ns: int) -> bool:
        """Whether the bound must be saved again before the clock may move to `physical_ns`."""
        return self.bound_ns - physical_ns <= GUARD_NS

    def move(self, physical_ns: int) -> None:
        """Move the clock; the logical counter starts again."""
        self.physical_ns, self.logical, self.refused = physical_ns, 0, False
