"""One line a change, and a count of what was not said."""

from __future__ import annotations

from milvus_coord.runtime.clock import ManualClock
from milvus_coord.runtime.say_seldom import SaySeldom


def test_a_starved_machine_fills_no_log() -> None:
    clock = ManualClock(0.0)
    saying = SaySeldom(clock)
    said = []
    for _ in range(212):  # suspicions in forty minutes
        said.append(saying.due("silent"))
        clock.advance(2400 / 212)
    told = [count for count in said if count is not None]
    assert len(told) <= 41
    assert sum(told) + len(told) >= 212 - 6


def test_a_change_is_said_at_once() -> None:
    saying = SaySeldom(ManualClock(0.0))
    assert [saying.due(what) for what in "aabba"] == [0, None, 1, None, 1]
