"""What a standby, a watcher and a leader decide: every case, each with what makes it safe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from milvus_coord.etcd.txn import Compare, lease_is, mod_revision_is, version_is
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.decisions import (
    Next,
    Outcome,
    Reply,
    after_challenge,
    reply_of,
    why_held_back,
)
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.detection.replacement_limits import ReplacementLimits
from milvus_coord.ha.detection.suspicion import Sign
from milvus_coord.ha.election.decisions import (
    HEAD_START_S,
    LOOK_AGAIN_S,
    ClaimActiveKey,
    Decision,
    DetectFailure,
    Own,
    Wait,
    decide,
    decide_claim,
    decide_replacement,
    ended_state,
    heirs,
    is_ours,
    succession,
    why_deposed,
)
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.operator_records import Pause
from milvus_coord.ha.pair.role_snapshot import InstanceKey, RoleSnapshot
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause, Takeover

KEYS = Keys("by-dev/meta", "rootcoord")
HOLDER = SessionRecord(7, "rootcoord", "h:1", fenced=True)
OURS = HOLDER.encode()
OWN, OTHER = 0xA, 0xB
ME = 3


def active_key(
    value: bytes = OURS, *, lease: int = OTHER, version: int = 1, created: int = 10, at: int = 10
) -> KeyValue:
    return KeyValue(KEYS.active, value, lease, version, created, at)


def verdict(active: KeyValue | None, leadership_revision: int = 0) -> Decision:
    holder = SessionRecord.of(active.key, active.value) if active else None
    pair = RoleSnapshot(
        "rootcoord",
        listed=True,
        active=active,
        holder=holder,
        leadership_revision=leadership_revision,
    )
    return decide_claim(KEYS, pair, OWN)


def claimed(
    cause: Cause, *conditions: Compare, order: ReplacementOrder | None = None
) -> ClaimActiveKey:
    return ClaimActiveKey(conditions, cause, order)


def test_absent_is_claimed_by_creating_it() -> None:
    assert verdict(None) == claimed(Cause.LEASE_ENDED, version_is(KEYS.active, 0))


@pytest.mark.parametrize("value", [OURS, b"{junk"])
def test_on_our_own_lease_is_claimed_as_it_was_last_written(value: bytes) -> None:
    """Without the revision, a late claim would break the fence of the term it had won before."""
    assert verdict(active_key(value, lease=OWN, at=12)) == claimed(
        Cause.REGAINED, lease_is(KEYS.active, OWN), mod_revision_is(KEYS.active, 12)
    )


def test_a_session_on_another_lease_is_held() -> None:
    assert verdict(active_key()) == DetectFailure(active_key(), HOLDER)
    assert DetectFailure(active_key(), HOLDER).why == "server 7 at h:1"


def test_junk_on_another_lease_waits_for_that_lease() -> None:
    assert verdict(active_key(b"{junk")) == Wait("junk on lease b, until that lease ends")


@pytest.mark.parametrize("value", [b"{junk", OURS])
def test_off_any_lease_over_a_session_of_ours_is_claimed_by_revision(value: bytes) -> None:
    over_ours = active_key(value, lease=0, version=2, created=10, at=12)
    by_revision = claimed(Cause.JUNK, mod_revision_is(KEYS.active, 12))
    assert verdict(over_ours, leadership_revision=10) == by_revision


def test_off_any_lease_and_never_a_session_is_claimed_by_revision() -> None:
    born_junk = active_key(b"{junk", lease=0, version=1, created=30, at=30)
    by_revision = claimed(Cause.JUNK, mod_revision_is(KEYS.active, 30))
    assert verdict(born_junk, leadership_revision=10) == by_revision


@pytest.mark.parametrize("leadership_revision", [0, 20])
def test_off_any_lease_where_go_may_have_been_is_left_alone(leadership_revision: int) -> None:
    over_go = active_key(b"{junk", lease=0, version=2, created=30, at=31)
    held = verdict(over_go, leadership_revision)
    assert isinstance(held, Wait)
    assert "Go coordinator that may still be active" in held.why


AS_IT_WAS = lease_is(KEYS.active, OTHER), mod_revision_is(KEYS.active, 12)


@pytest.mark.parametrize("answered_at", [0, 11])
def test_who_did_not_answer_is_replaced_unless_it_moves_or_answers(answered_at: int) -> None:
    silent = ReplacementOrder(
        active_key(at=12), Cause.SILENT, since_s=1.0, answer_revision=answered_at
    )
    unanswered = mod_revision_is(KEYS.answer(3), answered_at)
    expected = claimed(Cause.SILENT, *AS_IT_WAS, unanswered, order=silent)
    assert decide_replacement(KEYS, silent, 3) == expected


def test_who_is_dead_is_replaced_unless_the_key_has_moved() -> None:
    dead = ReplacementOrder(active_key(at=12), Cause.PROCESS_DIED, since_s=1.0)
    assert dead.proven_dead
    expected = claimed(Cause.PROCESS_DIED, *AS_IT_WAS, order=dead)
    assert decide_replacement(KEYS, dead, 3) == expected


FREE = RoleSnapshot("rootcoord", listed=True)
PAIRED = replace(FREE, sessions={n: InstanceKey(active_key(), HOLDER) for n in (ME, 7)})
CLAIMED = claimed(Cause.LEASE_ENDED, version_is(KEYS.active, 0))


def test_nothing_is_done_before_all_keys_are_listed() -> None:
    assert decide(KEYS, RoleSnapshot("rootcoord"), Own(ME, OWN), 100.0) == Wait()


def test_a_free_key_is_left_alone_without_a_port() -> None:
    no_port = Own(ME, OWN, has_port=False, free_since_s=90.0)
    assert decide(KEYS, FREE, no_port, 100.0) == Wait(seconds=LOOK_AGAIN_S, free_since_s=90.0)


def test_a_free_key_is_left_to_those_who_may_be_ready_for_a_while() -> None:
    unready = Own(ME, OWN, ready=False)
    left = decide(KEYS, PAIRED, unready, 100.0)
    assert left == Wait(seconds=LOOK_AGAIN_S, free_since_s=100.0)
    for now_s, taken in ((100.0 + HEAD_START_S - 0.1, False), (100.0 + HEAD_START_S, True)):
        decision = decide(KEYS, PAIRED, replace(unready, free_since_s=100.0), now_s)
        assert (decision == CLAIMED) == taken
    assert decide(KEYS, FREE, unready, 100.0) == CLAIMED, "nobody else is there"
    assert decide(KEYS, PAIRED, Own(ME, OWN), 100.0) == CLAIMED, "we are ready"


def test_a_key_of_our_own_is_claimed_though_we_are_not_ready() -> None:
    given = replace(PAIRED, active=active_key(lease=OWN), holder=HOLDER)
    decision = decide(KEYS, given, Own(ME, OWN, ready=False), 100.0)
    assert isinstance(decision, ClaimActiveKey)
    assert decision.cause is Cause.REGAINED


VANISHED = claimed(Cause.LEASE_ENDED)
REGAINED = claimed(Cause.REGAINED)
DEAD = decide_replacement(KEYS, ReplacementOrder(active_key(), Cause.PROCESS_DIED, 1.0), ME)
SILENT = decide_replacement(KEYS, ReplacementOrder(active_key(), Cause.SILENT, 1.0, 0), ME)
GO = SessionRecord(9, "rootcoord", "h:9")
MS = 1000


def last(state: TermState, why: str = "") -> LeadershipRecord:
    return LeadershipRecord(5, "h:5", state, 3000, why)


@pytest.mark.parametrize(
    ("claim", "written", "seen", "cause", "whom", "serves_s"),
    [
        (VANISHED, None, None, Cause.FIRST, 0, 0.0),
        (VANISHED, None, HOLDER, Cause.LEASE_ENDED, 7, 1.0),
        (VANISHED, None, GO, Cause.LEASE_ENDED, 9, 0.0),
        (VANISHED, last(TermState.HELD), HOLDER, Cause.LEASE_ENDED, 7, 3.0),
        (VANISHED, last(TermState.CLEAR), HOLDER, Cause.LEASE_ENDED, 7, 3.0),
        (VANISHED, last(TermState.CLEAR), GO, Cause.LEASE_ENDED, 9, 3.0),
        (VANISHED, last(TermState.RELEASED, "stopped"), HOLDER, Cause.STOPPED, 7, 0.0),
        (VANISHED, last(TermState.RELEASED, "failed"), HOLDER, Cause.FAILED, 7, 0.0),
        (VANISHED, last(TermState.RELEASED, "what?"), HOLDER, Cause.STOPPED, 7, 0.0),
        (REGAINED, last(TermState.RELEASED, "switchover"), HOLDER, Cause.SWITCHOVER, 5, 0.0),
        (REGAINED, last(TermState.HELD), HOLDER, Cause.REGAINED, 5, 3.0),
        (DEAD, last(TermState.CLEAR), HOLDER, Cause.PROCESS_DIED, 7, 0.0),
        (DEAD, last(TermState.HELD), HOLDER, Cause.PROCESS_DIED, 7, 3.0),
        (SILENT, last(TermState.CLEAR), HOLDER, Cause.SILENT, 7, 3.0),
    ],
)
def test_whom_a_leader_succeeds(
    claim: ClaimActiveKey,
    written: LeadershipRecord | None,
    seen: SessionRecord | None,
    cause: Cause,
    whom: int,
    serves_s: float,
) -> None:
    found = succession(claim, written, seen, MS)
    assert (found.cause, found.server_id, found.serves_s) == (cause, whom, serves_s)
    assert found.lease == (OTHER if claim.order else 0)


def test_a_term_is_over_when_the_key_was_changed_since() -> None:
    leads = replace(FREE, active=active_key(at=12), active_revision=12)
    assert why_deposed(KEYS, leads, 12) is None
    assert "was written by another at revision 12" in str(why_deposed(KEYS, leads, 11))
    gone = replace(FREE, active_revision=13)
    assert "was deleted at revision 13" in str(why_deposed(KEYS, gone, 12))
    assert [is_ours(active_key(at=12), epoch) for epoch in (11, 12)] == [False, True]
    assert not is_ours(None, 12)


def test_the_active_key_goes_to_the_one_that_was_asked_for_else_to_any() -> None:
    assert heirs([8, 9], 9) == [9]
    assert heirs([8, 9], 7) == [8, 9]
    assert heirs([8, 9], 0) == [8, 9]


@pytest.mark.parametrize(("ended_at", "state"), [(9.9, TermState.HELD), (10.0, TermState.RELEASED)])
def test_released_is_said_once_the_predecessor_has_stopped(
    ended_at: float, state: TermState
) -> None:
    assert ended_state(ended_at, 10.0) is state


CHALLENGE = Challenge("c", 12)


def answered(value: bytes) -> KeyValue:
    return KeyValue(KEYS.answer(ME), value, OTHER, 1, 20, 20)


@pytest.mark.parametrize(
    ("answer", "overslept_s", "outcome"),
    [
        (answered(CHALLENGE.encode()), 9.0, Outcome.ANSWERED),
        (answered(Challenge("older", 12).encode()), 0.0, Outcome.UNANSWERED),
        (answered(Challenge("c", 11).encode()), 0.0, Outcome.UNANSWERED),
        (answered(b"{junk"), 0.0, Outcome.UNANSWERED),
        (None, 0.0, Outcome.UNANSWERED),
        (None, 0.3, Outcome.VOID),
    ],
)
def test_how_a_challenge_ended(
    answer: KeyValue | None, overslept_s: float, outcome: Outcome
) -> None:
    reply = reply_of(CHALLENGE, answer, overslept_s)
    revision = 20 if answer is not None else 0
    assert reply == Reply(outcome, revision)


SIGN, UNPROVEN = Sign(Cause.SILENT, 1.0), Sign(Cause.UNPROVEN, 1.0)


@pytest.mark.parametrize(
    ("outcome", "sign", "heard_s", "step"),
    [
        (Outcome.ANSWERED, SIGN, 0.0, Next.LEAVE_ALONE),
        (Outcome.VOID, SIGN, 0.0, Next.ASK_LATER),
        (Outcome.UNANSWERED, None, 9.0, Next.ASK_ANEW),
        (Outcome.UNANSWERED, UNPROVEN, 4.9, Next.ASK_ANEW),
        (Outcome.UNANSWERED, UNPROVEN, 5.0, Next.REPLACE),
        (Outcome.UNANSWERED, SIGN, 0.0, Next.REPLACE),
    ],
)
def test_what_follows_a_challenge(
    outcome: Outcome, sign: Sign | None, heard_s: float, step: Next
) -> None:
    assert after_challenge(Reply(outcome), sign, asked_s=5.0, heard_s=heard_s) is step


def test_what_holds_a_replacement_back() -> None:
    limits = ReplacementLimits(1, 3)
    early = Takeover(1, 7, "h:7", 8, "h:8", Cause.SILENT, 1000)
    assert why_held_back(FREE, (), limits, 1000) == ""
    unlisted = replace(FREE, listed=False)
    assert why_held_back(unlisted, (), limits, 1000) == "etcd has not said whether we may"
    assert why_held_back(replace(FREE, pause=Pause("ann", 1)), (), limits, 1000) == "paused"
    assert why_held_back(FREE, ("a", "b"), limits, 1000) == "not ready: a; b"
    assert "damped" in why_held_back(replace(FREE, history=(early,)), (), limits, 2000)
    assert why_held_back(replace(FREE, history=(early,)), (), limits, 62_000) == ""
