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


def test_things_in_turns_are_a_line_a_minute_each() -> None:
    clock = ManualClock(0.0)
    saying = SaySeldom(clock)
    assert [saying.due(what) for what in "aabba"] == [0, None, 0, None, None]
    clock.advance(59.0)
    assert saying.due("a") is None
    clock.advance(1.0)
    assert [saying.due(what) for what in "abc"] == [3, 1, 0]
