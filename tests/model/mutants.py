"""The product's decisions with one mistake in each: what the checker must find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from milvus_coord.etcd.txn import Compare, Target, lease_is, mod_revision_is, value_is
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.election import decisions
from milvus_coord.ha.election.decisions import ClaimActiveKey, Decision, Own, Succession, Wait
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause
from tests.model.code import Successor, value_of


def no_fence(active_key: bytes, lease: int, epoch: int) -> tuple[Compare, ...]:
    return ()


def fence_by_name(active_key: bytes, lease: int, epoch: int) -> tuple[Compare, ...]:
    """The active key names our process; its number is that of its first lease."""
    return (value_is(active_key, value_of(lease // 10 * 10)),)


def fence_by_lease(active_key: bytes, lease: int, epoch: int) -> tuple[Compare, ...]:
    return (lease_is(active_key, lease),)


def fence_by_revision(active_key: bytes, lease: int, epoch: int) -> tuple[Compare, ...]:
    return (mod_revision_is(active_key, epoch),)


def _no_wait(when: Callable[[ClaimActiveKey, SessionRecord | None], bool]) -> Successor:
    """A successor does not wait where `when` says so of its claim and the last session seen."""

    def mutant(
        claim: ClaimActiveKey,
        written: LeadershipRecord | None,
        seen: SessionRecord | None,
        serve_lease_ms: int,
    ) -> Succession:
        found = decisions.succession(claim, written, seen, serve_lease_ms)
        return replace(found, serves_s=0.0) if when(claim, seen) else found

    return mutant


no_wait_after_challenge = _no_wait(lambda claim, seen: claim.cause.early)
no_wait_after_vanished = _no_wait(lambda claim, seen: claim.cause is Cause.LEASE_ENDED)
death_ends_all = _no_wait(lambda claim, seen: claim.cause is Cause.PROCESS_DIED)
go_ends_all = _no_wait(lambda claim, seen: seen is not None and not seen.fenced)
"""The leadership record does not count when a Go coordinator led since."""


def answer_not_compared(keys: Keys, order: ReplacementOrder, me: int) -> ClaimActiveKey:
    return decisions.decide_replacement(keys, replace(order, answer_revision=None), me)


def always_released(now_s: float, predecessor_stopped_at: float) -> TermState:
    """Who gives the active key up before its own wait is over says that all is over."""
    return TermState.RELEASED


def own_key_by_lease(keys: Keys, pair: RoleSnapshot, own: Own, now_s: float) -> Decision:
    """A claim of a key on our own lease does not compare the revision that we have seen."""
    found = decisions.decide(keys, pair, own, now_s)
    if not isinstance(found, ClaimActiveKey) or found.cause is not Cause.REGAINED:
        return found
    by_lease = [compare for compare in found.conditions if compare.target is Target.LEASE]
    return replace(found, conditions=tuple(by_lease))


def junk_left_alone(keys: Keys, pair: RoleSnapshot, own: Own, now_s: float) -> Decision:
    return _not(Cause.JUNK, decisions.decide(keys, pair, own, now_s))


def junk_over_go_claimed(keys: Keys, pair: RoleSnapshot, own: Own, now_s: float) -> Decision:
    """All junk is taken for what lies over a session of ours."""
    return decisions.decide(keys, replace(pair, leadership_revision=1), own, now_s)


def own_key_left_alone(keys: Keys, pair: RoleSnapshot, own: Own, now_s: float) -> Decision:
    return _not(Cause.REGAINED, decisions.decide(keys, pair, own, now_s))


def _not(cause: Cause, found: Decision) -> Decision:
    left_alone = isinstance(found, ClaimActiveKey) and found.cause is cause
    return Wait("a mistake") if left_alone else found
