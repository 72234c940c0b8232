"""When an active is suspected: the table, and what holds for every story of beats."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milvus_coord.ha.detection.suspicion import BEATS_MISSED, LAGS_BORNE, SILENCE_S_MAX, Suspicion
from milvus_coord.ha.pair.takeover import Cause

BEAT_S, SERVE_S = 0.1, 1.0
BEGAN_S = 1000.0
TINY_S = 1e-6

Step = tuple[Any, ...]


def played(*steps: Step, beat_s: float = BEAT_S) -> Suspicion:
    """A suspicion after these steps, each `(seconds since the beginning, method, arguments...)`."""
    suspicion = Suspicion(beat_s=beat_s, serve_lease_s=SERVE_S, now_s=BEGAN_S)
    for at_s, what, *more in steps:
        if what == "beat":
            lag_s, unproven_s = more or (0.0, 0.0)
            suspicion.beat(BEGAN_S + at_s, lag_s=lag_s, unproven_s=unproven_s)
        elif what == "answered":
            suspicion.answered(BEGAN_S + at_s)
        else:
            getattr(suspicion, what)()
    return suspicion


TABLE: dict[str, tuple[tuple[Step, ...], float, Cause | None]] = {
    "nothing yet": ((), 0.49, None),
    "never a beat": ((), 1.01, Cause.SILENT),
    "refused before the first beat: it is about to listen": (((0.0, "refused"),), 0.49, None),
    "refused and never a beat": (((0.0, "refused"),), 1.01, Cause.SILENT),
    "a good beat": (((1.0, "beat"),), 1.0, None),
    "four and a half beats missing": (((1.0, "beat"),), 1.45, None),
    "five beats missing": (((1.0, "beat"),), 1.51, Cause.SILENT),
    "ended, not yet refused": (((1.0, "beat"), (1.0, "ended")), 1.1, None),
    "ended and gone": (((1.0, "beat"), (1.0, "ended")), 1.51, Cause.SILENT),
    "ended and refused": (
        ((1.0, "beat"), (1.0, "ended"), (1.0, "refused")),
        1.0,
        Cause.UNREACHABLE,
    ),
    "refused, then back": (((1.0, "beat"), (1.0, "refused"), (1.2, "beat")), 1.3, None),
    "its loop stood still for 0.4 s of late": (((1.0, "beat", 0.4, 0.0),), 2.1, None),
    "and is silent for three times that": (((1.0, "beat", 0.4, 0.0),), 2.21, Cause.SILENT),
    "it stood still for a minute": (((1.0, "beat", 60.0, 0.0),), 5.9, None),
    "and no lag is borne for ever": (((1.0, "beat", 60.0, 0.0),), 6.01, Cause.SILENT),
    "half its lease proven": (((1.0, "beat", 0.0, 0.5),), 1.1, None),
    "more than half its lease unproven": (((1.0, "beat", 0.0, 0.51),), 1.1, Cause.UNPROVEN),
    "proven again": (((1.0, "beat", 0.0, 0.9), (1.1, "beat")), 1.1, None),
    "unproven, the stream ended": (((1.0, "beat", 0.0, 0.9), (1.0, "ended")), 1.1, None),
    "answered": (((1.0, "beat"), (1.0, "refused"), (1.4, "answered")), 2.39, None),
    "a second after the answer": (
        ((1.0, "beat"), (1.0, "refused"), (1.4, "answered")),
        2.41,
        Cause.UNREACHABLE,
    ),
}


@pytest.mark.parametrize(("steps", "at_s", "cause"), TABLE.values(), ids=TABLE.keys())
def test_signs(steps: tuple[Step, ...], at_s: float, cause: Cause | None) -> None:
    sign = played(*steps).sign(BEGAN_S + at_s)
    assert (sign.cause if sign else None) is cause


def test_a_sign_says_when_all_was_well_last() -> None:
    silent = played((1.0, "beat")).sign(BEGAN_S + 3)
    assert silent is not None
    assert (str(silent), silent.since_s) == ("silent", BEGAN_S + 1)
    unproven = played((1.0, "beat", 0.0, 0.75)).sign(BEGAN_S + 1)
    assert unproven is not None
    assert unproven.since_s == BEGAN_S + 0.25


def test_slow_beats_have_longer_to_come() -> None:
    slow = played((1.0, "beat"), beat_s=10.0)
    assert slow.sign(BEGAN_S + 50) is None
    assert slow.sign(BEGAN_S + 51.1) is not None


GAPS = st.floats(0.0, BEATS_MISSED * BEAT_S * 0.999)
LAGS = st.floats(0.0, 10.0)


@given(st.lists(st.tuples(GAPS, LAGS, st.floats(0.0, SERVE_S / 2), st.booleans()), min_size=1))
def test_no_sign_while_beats_are_good(story: list[tuple[float, float, float, bool]]) -> None:
    suspicion = Suspicion(beat_s=BEAT_S, serve_lease_s=SERVE_S, now_s=BEGAN_S)
    now_s = BEGAN_S
    for gap_s, lag_s, unproven_s, broke in story:
        if broke:  # connected again in time
            suspicion.ended()
        for part in (0.25, 0.5, 1.0):
            assert suspicion.sign(now_s + part * gap_s) is None
        now_s += gap_s
        suspicion.beat(now_s, lag_s=lag_s, unproven_s=unproven_s)
        assert suspicion.sign(now_s) is None


STEP = st.one_of(
    st.tuples(st.floats(0.0, 8.0), st.just("beat"), LAGS, st.floats(0.0, 3.0)),
    st.tuples(st.floats(0.0, 8.0), st.sampled_from(("ended", "refused", "answered"))),
)


@given(st.lists(STEP, max_size=20))
@example([(20.330616193129938, "beat", 10.0, 0.0)])  # 5 s after it are 5.000000000000114 s after it
def test_every_silent_active_is_suspected_in_bounded_time(story: list[Step]) -> None:
    """By looking only when told to look. A sum of floats may exceed the bound by its rounding."""
    now_s, steps = 0.0, []
    for gap_s, *what in story:
        now_s += gap_s
        steps.append((now_s, *what))
    suspicion = played(*steps)
    limit_s = max(SILENCE_S_MAX, BEATS_MISSED * BEAT_S)
    looked_s, looks = BEGAN_S + now_s, 0
    while suspicion.sign(looked_s) is None:
        wait_s = suspicion.next_look_s(looked_s)
        assert wait_s <= limit_s + TINY_S
        looked_s += max(wait_s, TINY_S)
        looks += 1
        assert looks < 10
    assert looked_s - BEGAN_S - now_s <= limit_s + 10 * TINY_S


@given(st.lists(STEP, max_size=20), st.floats(0.0, 0.999))
def test_an_answer_buys_a_second_whatever_the_signs(story: list[Step], within_s: float) -> None:
    now_s, steps = 0.0, []
    for gap_s, *what in story:
        now_s += gap_s
        steps.append((now_s, *what))
    suspicion = played(*steps, (now_s, "answered"))
    assert suspicion.sign(BEGAN_S + now_s + within_s) is None
    assert 0 < suspicion.next_look_s(BEGAN_S + now_s + within_s) <= 1.0 + TINY_S


@given(LAGS)
def test_silence_borne_is_three_stalls_within_bounds(lag_s: float) -> None:
    suspicion = played((0.0, "beat", lag_s, 0.0))
    borne_s = min(max(BEATS_MISSED * BEAT_S, LAGS_BORNE * lag_s), SILENCE_S_MAX)
    assert suspicion.sign(BEGAN_S + borne_s - 1e-3) is None
    assert suspicion.sign(BEGAN_S + borne_s + 1e-3) is not None
