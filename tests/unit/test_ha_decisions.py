"""Who may claim: every case of the table, each with the comparison that makes it safe."""

from __future__ import annotations

import pytest

from milvus_coord.etcd.txn import Compare, lease_is, mod_revision_is, version_is
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.election.decisions import (
    ClaimActiveKey,
    Decision,
    DetectFailure,
    Wait,
    decide_claim,
    decide_replacement,
)
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause

KEYS = Keys("by-dev/meta", "rootcoord")
HOLDER = SessionRecord(7, "rootcoord", "h:1", fenced=True)
OURS = HOLDER.encode()
OWN, OTHER = 0xA, 0xB


def k(
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
    assert verdict(k(value, lease=OWN, at=12)) == claimed(
        Cause.REGAINED, lease_is(KEYS.active, OWN), mod_revision_is(KEYS.active, 12)
    )


def test_a_session_on_another_lease_is_held() -> None:
    assert verdict(k()) == DetectFailure(k(), HOLDER)
    assert DetectFailure(k(), HOLDER).why == "server 7 at h:1"


def test_junk_on_another_lease_waits_for_that_lease() -> None:
    assert verdict(k(b"{junk")) == Wait("junk on lease b, until that lease ends")


@pytest.mark.parametrize("value", [b"{junk", OURS])
def test_off_any_lease_over_a_session_of_ours_is_claimed_by_revision(value: bytes) -> None:
    over_ours = k(value, lease=0, version=2, created=10, at=12)
    by_revision = claimed(Cause.JUNK, mod_revision_is(KEYS.active, 12))
    assert verdict(over_ours, leadership_revision=10) == by_revision


def test_off_any_lease_and_never_a_session_is_claimed_by_revision() -> None:
    born_junk = k(b"{junk", lease=0, version=1, created=30, at=30)
    by_revision = claimed(Cause.JUNK, mod_revision_is(KEYS.active, 30))
    assert verdict(born_junk, leadership_revision=10) == by_revision


@pytest.mark.parametrize("leadership_revision", [0, 20])
def test_off_any_lease_where_go_may_have_been_is_left_alone(leadership_revision: int) -> None:
    over_go = k(b"{junk", lease=0, version=2, created=30, at=31)
    held = verdict(over_go, leadership_revision)
    assert isinstance(held, Wait)
    assert "Go coordinator that may still be active" in held.why


AS_IT_WAS = lease_is(KEYS.active, OTHER), mod_revision_is(KEYS.active, 12)


@pytest.mark.parametrize("answered_at", [0, 11])
def test_who_did_not_answer_is_replaced_unless_it_moves_or_answers(answered_at: int) -> None:
    silent = ReplacementOrder(k(at=12), Cause.SILENT, since_s=1.0, answer_revision=answered_at)
    unanswered = mod_revision_is(KEYS.answer(3), answered_at)
    expected = claimed(Cause.SILENT, *AS_IT_WAS, unanswered, order=silent)
    assert decide_replacement(KEYS, silent, 3) == expected


def test_who_is_dead_is_replaced_unless_k_has_moved() -> None:
    dead = ReplacementOrder(k(at=12), Cause.PROCESS_DIED, since_s=1.0)
    assert dead.proven_dead
    expected = claimed(Cause.PROCESS_DIED, *AS_IT_WAS, order=dead)
    assert decide_replacement(KEYS, dead, 3) == expected
