"""Half requests that came at once run out one by one."""

from __future__ import annotations

from collections import Counter

from milvus_coord.telemetry.httpconn import Limits, patience_s


def test_a_thousand_that_came_at_once_do_not_run_out_at_once() -> None:
    limits = Limits()
    ends_s = [patience_s(limits) for _ in range(1000)]
    assert limits.request_s / 2 <= min(ends_s) <= max(ends_s) <= limits.request_s
    in_each_tenth_s = Counter(int(end_s * 10) for end_s in ends_s)
    assert max(in_each_tenth_s.values()) < 80
