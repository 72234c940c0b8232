"""How often an active may be replaced early: a pure decision over the history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from milvus_coord.ha.pair.takeover import Takeover

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ReplacementLimits:
    """Early replacements of one role that are allowed in a minute and in ten."""

    per_minute: int
    per_ten_minutes: int

    def wait_ms(self, history: Iterable[Takeover], now_ms: int) -> int:
        """In how many milliseconds the next one is allowed, 0 for now.

        `now_ms` is Unix time; entries from the future, by another clock, count as of now.
        """
        early = sorted(min(each.at_ms, now_ms) for each in history if each.cause.early)
        waits = (
            _wait_ms(early, self.per_minute, _MINUTE_MS, now_ms),
            _wait_ms(early, self.per_ten_minutes, 10 * _MINUTE_MS, now_ms),
        )
        return max(waits)


def _wait_ms(early: list[int], allowed: int, window_ms: int, now_ms: int) -> int:
    """Until fewer than `allowed` of `early` (rising) lie within the window."""
    if allowed <= 0:
        return window_ms
    recent = [at_ms for at_ms in early if at_ms > now_ms - window_ms]
    if len(recent) < allowed:
        return 0
    return recent[-allowed] + window_ms - now_ms
