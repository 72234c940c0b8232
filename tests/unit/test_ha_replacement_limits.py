"""How often an active may be replaced early, against the definition told in plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.ha.detection.replacement_limits import ReplacementLimits
from milvus_coord.ha.pair.takeover import Cause, Takeover

MINUTE_MS = 60_000
NOW_MS = 1_800_000_000_000
EARLY = (Cause.UNREACHABLE, Cause.SILENT, Cause.UNPROVEN)


def takeover(at_ms: int, cause: Cause = Cause.SILENT) -> Takeover:
    return Takeover(1, 7, "h:7", 8, "h:8", cause, at_ms)


def ago(*ms: int) -> list[Takeover]:
    return [takeover(NOW_MS - each) for each in ms]


def allowed(early_ms: list[int], damping: ReplacementLimits, at_ms: int) -> bool:
    """Fewer than so many in the last minute, and fewer than so many in the last ten."""
    in_minute = [ms for ms in early_ms if 0 <= at_ms - ms < MINUTE_MS]
    in_ten = [ms for ms in early_ms if 0 <= at_ms - ms < 10 * MINUTE_MS]
    return len(in_minute) < damping.per_minute and len(in_ten) < damping.per_ten_minutes


@pytest.mark.parametrize(
    ("past", "wait_ms"),
    [
        ([], 0),
        (ago(0), MINUTE_MS),
        (ago(1), MINUTE_MS - 1),
        (ago(MINUTE_MS - 1), 1),
        (ago(MINUTE_MS), 0),
        (ago(70_000, 80_000), 0),
        (ago(70_000, 80_000, 90_000), 10 * MINUTE_MS - 90_000),
        (ago(10 * MINUTE_MS, 80_000, 90_000), 0),
        (ago(10 * MINUTE_MS - 1, 80_000, 90_000), 1),
        (ago(5, 80_000, 90_000), 10 * MINUTE_MS - 90_000),
        (ago(-3_600_000), MINUTE_MS),
    ],
)
def test_one_a_minute_and_three_in_ten(past: list[Takeover], wait_ms: int) -> None:
    assert ReplacementLimits(1, 3).wait_ms(past, NOW_MS) == wait_ms


@pytest.mark.parametrize("cause", list(Cause))
def test_only_early_replacements_count(cause: Cause) -> None:
    waits = ReplacementLimits(1, 3).wait_ms([takeover(NOW_MS, cause)], NOW_MS) > 0
    assert waits == (cause in EARLY) == cause.early


@pytest.mark.parametrize(
    "damping", [ReplacementLimits(0, 3), ReplacementLimits(1, 0), ReplacementLimits(0, 0)]
)
def test_zero_allows_none_ever(damping: ReplacementLimits) -> None:
    assert damping.wait_ms([], NOW_MS) > 0


@given(
    st.lists(st.integers(NOW_MS - 12 * MINUTE_MS, NOW_MS), max_size=12),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_the_wait_is_the_shortest_that_is_enough(
    early_ms: list[int], per_minute: int, per_ten: int
) -> None:
    damping = ReplacementLimits(per_minute, per_ten)
    wait_ms = damping.wait_ms(map(takeover, early_ms), NOW_MS)
    assert allowed(early_ms, damping, NOW_MS + wait_ms)
    ends = {ms + window - NOW_MS for ms in early_ms for window in (MINUTE_MS, 10 * MINUTE_MS)}
    for sooner_ms in {0, wait_ms - 1} | {end for end in ends if end < wait_ms}:
        if 0 <= sooner_ms < wait_ms:
            assert not allowed(early_ms, damping, NOW_MS + sooner_ms), sooner_ms


@given(st.lists(st.integers(NOW_MS, NOW_MS + 100 * MINUTE_MS), max_size=5))
def test_a_clock_that_runs_ahead_does_not_damp_for_longer(future_ms: list[int]) -> None:
    now = [takeover(NOW_MS)] * len(future_ms)
    damping = ReplacementLimits(1, 3)
    assert damping.wait_ms(map(takeover, future_ms), NOW_MS) == damping.wait_ms(now, NOW_MS)
