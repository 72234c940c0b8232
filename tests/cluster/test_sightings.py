"""The checks of a failover test find what they are for, in made up sightings and in a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.cluster import Troupe
from testing.daemon import boottime_s
from testing.hammer import Hammer
from testing.sightings import ALLOCATIONS, Method, Outcome, Sighting, Sightings

A, B = "a:1", "b:1"
LATE_MIN = 4


def seen(address: str, sent_s: float, received_s: float, first: int, count: int = 3) -> Sighting:
    return Sighting(
        address, Method.ALLOC_TIMESTAMP, Outcome.OK, 1, 1, sent_s, received_s, first, count
    )


def in_turn(address: str, begin_s: float, answers: int, first: int) -> list[Sighting]:
    """One second each, one after the other."""
    return [seen(address, begin_s + n, begin_s + n + 0.5, first + 3 * n) for n in range(answers)]


def test_blocks_in_order_pass() -> None:
    Sightings(in_turn(A, 0, 5, 100) + in_turn(B, 5, 5, 200)).check_values(Method.ALLOC_TIMESTAMP)


def test_answers_that_overlap_in_time_may_come_in_any_order() -> None:
    both = [seen(A, 0, 10, first=200), seen(A, 1, 9, first=100)]
    Sightings(both).check_values(Method.ALLOC_TIMESTAMP)


def test_a_value_inside_the_block_of_another_is_found() -> None:
    with pytest.raises(AssertionError, match="handed out twice"):
        Sightings([seen(A, 0, 10, 100), seen(B, 1, 9, 102)]).check_values(Method.ALLOC_TIMESTAMP)


def test_a_value_below_one_known_before_is_found() -> None:
    tries = [*in_turn(A, 0, 5, 100), seen(B, 20, 21, first=50)]
    with pytest.raises(AssertionError, match="went back"):
        Sightings(tries).check_values(Method.ALLOC_TIMESTAMP)


def test_too_few_answers_are_no_proof() -> None:
    with pytest.raises(AssertionError, match="only 2 answers"):
        Sightings(in_turn(A, 0, 2, 100)).check_values(Method.ALLOC_TIMESTAMP, at_least=3)


def test_a_clean_change_is_two_tenures() -> None:
    first, second = Sightings(in_turn(A, 0, 5, 100) + in_turn(B, 5, 4, 200)).check_tenures(A, B)
    assert (first.answers, second.answers) == (5, 4)


def test_answers_under_way_at_the_change_are_no_overlap() -> None:
    tries = [*in_turn(A, 0, 5, 100), seen(A, 4.6, 9, 150), *in_turn(B, 5, 5, 200)]
    Sightings(tries).check_tenures(A, B)


def test_one_answer_of_the_old_active_after_the_new_one_is_found() -> None:
    tries = [*in_turn(A, 0, 5, 100), *in_turn(B, 5, 5, 200), seen(A, 5.6, 30, 150)]
    assert [one.address for one in Sightings(tries).tenures()] == [A, B, A]
    with pytest.raises(AssertionError, match="b:1 5 answers"):
        Sightings(tries).check_tenures(A, B)


def test_the_longest_gap_counts_only_what_overlaps_the_window() -> None:
    tries = [seen(A, at, at, 10 * at, 1) for at in (0, 9, 10, 13, 14)]
    sightings = Sightings(tries)
    assert sightings.longest_gap().length_s == 9
    gap = sightings.longest_gap(after_s=9.5)
    assert (gap.began_s, gap.length_s) == (10, 3)


def test_a_stall_of_the_client_is_charged_to_the_gap_it_falls_into() -> None:
    stall = Sighting(A, Method.STALL, Outcome.OK, 0, 0, 4.0, 6.0, 0, 0)
    sightings = Sightings([seen(A, 0, 0, 1), stall, seen(A, 5, 5, 10)])
    gap = sightings.longest_gap(before_s=4)
    assert gap.length_s == 5
    assert sightings.stalled_s(gap) == 1


@pytest.mark.etcd
@pytest.mark.go
async def test_two_servers_that_are_active_at_a_time_are_found(
    troupe: Troupe, tmp_path: Path
) -> None:
    """Two Go rootcoords, each the active one of a cluster of its own, pose as a pair."""
    one, other = troupe.go(), troupe.go(root_path="another")
    for role in (one, other):
        role.start()
        await role.wait_active()
    async with Hammer([one.address, other.address], folder=tmp_path) as hammer:
        await hammer.wait_success(one.address, after_s=boottime_s() + 0.5)
        await hammer.wait_success(other.address, after_s=boottime_s())
    sightings = hammer.sightings()
    assert len(sightings.tenures()) > 10
    for method in ALLOCATIONS:
        with pytest.raises(AssertionError, match=r"handed out twice|went back"):
            sightings.check_values(method)


@pytest.mark.etcd
@pytest.mark.go
async def test_what_a_frozen_server_answers_when_it_wakes_up_is_seen(
    troupe: Troupe, tmp_path: Path
) -> None:
    active = troupe.go()
    active.start()
    await active.wait_active()
    async with Hammer([active.address], folder=tmp_path, deadline_ms=50) as hammer:
        await hammer.wait_success(active.address)
        active.pause()
        frozen_s = boottime_s()
        await hammer.wait_until(lambda seen: len(given_up(seen, frozen_s)) >= LATE_MIN)
        active.resume()
        seen = await hammer.wait_until(lambda seen: len(late(seen, frozen_s)) >= LATE_MIN)
    assert seen.longest_gap(Method.ALLOC_TIMESTAMP).length_s > 0.05
    seen.check_tenures(active.address)
    seen.check_values(Method.ALLOC_TIMESTAMP, at_least=LATE_MIN)


def given_up(seen: Sightings, after_s: float) -> set[int]:
    """Connections with a try that met its deadline."""
    return {
        one.connection
        for one in seen.tries
        if one.outcome is Outcome.TIMEOUT and one.sent_s > after_s
    }


def late(seen: Sightings, after_s: float) -> set[int]:
    """Those of them that were answered after all."""
    answered = {one.connection for one in seen.successes() if one.received_s - one.sent_s > 0.05}
    return answered & given_up(seen, after_s)
