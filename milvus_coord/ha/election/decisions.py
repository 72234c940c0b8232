"""What a standby and a leader do next. Every function is pure.

`tests/model` checks these very ones: `decide` (of a standby that has a port and is ready: any other
waits, as one may at any time in the model), `decide_replacement`, `succession`, `guards`,
`is_ours`, `take_back`, `ended_state`. `why_deposed`, `why_refused` and `heirs` have unit tests
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from milvus_coord.etcd.txn import Compare, lease_is, mod_revision_is, version_is
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.operator_records import SwitchoverRequest
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause

HEAD_START_S: Final = 2.0
"""How long a standby that is not ready leaves a free active key to those that may be."""

LOOK_AGAIN_S: Final = 0.05
"""How soon to decide anew where no key of etcd tells that something has changed."""


@dataclass(frozen=True, slots=True)
class Own:
    """What a standby knows of itself.

    Attributes:
        lease: of its session.
        has_port: whether it could listen; without that a term would be in vain.
        ready: whether it could begin a term at once.
        free_since_s: since when it has left a free active key to others, None when it has not.
    """

    server_id: int
    lease: int
    has_port: bool = True
    ready: bool = True
    free_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class ClaimActiveKey:
    """Take the active key by one transaction, if all `conditions` still hold.

    `order` is why its holder is replaced, None when it has none.
    """

    conditions: tuple[Compare, ...]
    cause: Cause
    order: ReplacementOrder | None = None


@dataclass(frozen=True, slots=True)
class DetectFailure:
    """Watch the holder closely until it may be replaced, or the active key changes."""

    active: KeyValue
    holder: SessionRecord

    @property
    def why(self) -> str:
        return f"server {self.holder.server_id} at {self.holder.address}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until the snapshot changes, or `seconds` have passed.

    `why` is for the log, "" where nothing needs to be said; `free_since_s` goes into the next
    decision.
    """

    why: str = ""
    seconds: float | None = None
    free_since_s: float | None = None


Decision: TypeAlias = ClaimActiveKey | DetectFailure | Wait


def decide(keys: Keys, pair: RoleSnapshot, own: Own, now_s: float) -> Decision:
    """Decide what a standby does next; `now_s` is boot time."""
    if not pair.listed:
        return Wait()
    decision = decide_claim(keys, pair, own.lease)
    if not isinstance(decision, ClaimActiveKey):
        return decision
    if not own.has_port:
        return Wait(seconds=LOOK_AGAIN_S, free_since_s=own.free_since_s)
    others = pair.sessions.keys() - {own.server_id}
    if decision.cause is Cause.REGAINED or not others or own.ready:
        return decision
    free_since_s = now_s if own.free_since_s is None else own.free_since_s
    if now_s - free_since_s >= HEAD_START_S:
        return decision
    return Wait(seconds=LOOK_AGAIN_S, free_since_s=free_since_s)


def decide_claim(keys: Keys, pair: RoleSnapshot, own_lease: int) -> Decision:
    """Decide by the active key alone, of what is listed.

    | the active key is | decision |
    |---|---|
    | absent | claim |
    | on our own lease: given to us, or won by a transaction whose answer was lost | claim |
    | a session on another lease | watch its holder |
    | junk on another lease | wait: it goes when that lease goes |
    | on no lease, last written as a session by one of ours | claim: that one is fenced off |
    | on no lease and never a session since it was created | claim: it has no holder |
    | on no lease, but Go may have held it before | wait: a Go active does not notice, and writes |
    """
    active = pair.active
    if active is None:
        return ClaimActiveKey((version_is(keys.active, 0),), Cause.LEASE_ENDED)
    as_it_was = mod_revision_is(keys.active, active.mod_revision)
    if active.lease == own_lease:
        # Also as it was last written: a claim that arrives late must not break a later one's fence.
        return ClaimActiveKey((lease_is(keys.active, own_lease), as_it_was), Cause.REGAINED)
    if active.lease:
        if pair.holder is None:
            return Wait(f"junk on lease {active.lease:x}, until that lease ends")
        return DetectFailure(active, pair.holder)
    ours_before = active.create_revision <= pair.leadership_revision
    if ours_before or active.version == 1:
        return ClaimActiveKey((as_it_was,), Cause.JUNK)
    return Wait(
        "a value on no lease, put over the session of a Go coordinator that may still be active; "
        "stop that one, then delete the key"
    )


def decide_replacement(keys: Keys, order: ReplacementOrder, me: int) -> ClaimActiveKey:
    """Put server `me` over an active that must go, unless it has moved or answered meanwhile."""
    active = order.active
    conditions: tuple[Compare, ...] = (
        lease_is(keys.active, active.lease),
        mod_revision_is(keys.active, active.mod_revision),
    )
    if order.answer_revision is not None:
        conditions += (mod_revision_is(keys.answer(me), order.answer_revision),)
    return ClaimActiveKey(conditions, order.cause, order)


@dataclass(frozen=True, slots=True)
class Succession:
    """Whom a new leader succeeds, and why.

    Attributes:
        server_id, address: who led before; 0 and "" when nobody is known.
        serves_s: how long from now it, or one before it, may still be answering, in seconds.
        lease: the session lease that it has left behind, 0 for none.
    """

    cause: Cause
    server_id: int
    address: str
    serves_s: float
    lease: int


def succession(
    claim: ClaimActiveKey,
    written: LeadershipRecord | None,
    seen: SessionRecord | None,
    serve_lease_ms: int,
) -> Succession:
    """Decide after a claim that succeeded.

    `written` is the leadership record that it found, `seen` the session last seen in the key.
    A record that was deleted by hand is taken for that of one which may still serve.
    """
    last = written
    if written is None and seen is not None and seen.fenced:
        last = LeadershipRecord(seen.server_id, seen.address, TermState.HELD, serve_lease_ms)
    server_id, address = (seen.server_id, seen.address) if seen else (0, "")
    if claim.cause is Cause.REGAINED and last is not None:
        server_id, address = last.server_id, last.address
    return Succession(
        cause=_cause(claim, last, seen),
        server_id=server_id,
        address=address,
        serves_s=still_serves_s(claim, last),
        lease=claim.order.active.lease if claim.order else 0,
    )


def still_serves_s(claim: ClaimActiveKey, last: LeadershipRecord | None) -> float:
    """How long from now a leader before us may still be answering, in seconds.

    Not at all when the last one said that it had stopped, or is proven dead after it had outwaited
    its own predecessor. A key that merely vanished proves nothing; nor does a record of our own,
    which may stem from a claim whose answer was lost; nor that a Go coordinator led meanwhile.
    """
    if last is None or last.state is TermState.RELEASED:
        return 0.0
    proven_dead = claim.order is not None and claim.order.proven_dead
    if last.state is TermState.CLEAR and proven_dead:
        return 0.0
    return last.serve_lease_ms / 1000


def _cause(
    claim: ClaimActiveKey, last: LeadershipRecord | None, seen: SessionRecord | None
) -> Cause:
    """Why the term begins, as far as the key and the last leader's own words tell."""
    if claim.cause not in (Cause.LEASE_ENDED, Cause.REGAINED):
        return claim.cause
    if last is None and seen is None:
        return Cause.FIRST
    if seen is not None and not seen.fenced:
        return claim.cause
    if last is not None and last.state is TermState.RELEASED:
        try:
            return Cause(last.why)
        except ValueError:
            return Cause.STOPPED
    return claim.cause


def guards(active_key: bytes, lease: int, epoch: int) -> tuple[Compare, Compare]:
    """What every write of a term compares: the key is ours, and is as it was when we won it.

    The second also stops what an earlier term of the same session may have left in the network.
    """
    return lease_is(active_key, lease), mod_revision_is(active_key, epoch)


def is_ours(active: KeyValue | None, epoch: int) -> bool:
    """Whether the active key is as the term of `epoch` won it."""
    return active is not None and active.mod_revision == epoch


def why_deposed(keys: Keys, pair: RoleSnapshot, epoch: int) -> str | None:
    """By what sign the term of `epoch` is over: by hand, by its lease's end, by a successor."""
    if pair.active_revision <= epoch:
        return None
    what = "was deleted" if pair.active is None else "was written by another"
    return f"{keys.active.decode()} {what} at revision {pair.active_revision}"


def why_refused(
    request: SwitchoverRequest, pair: RoleSnapshot, me: int, epoch: int, ready: Sequence[int]
) -> str:
    """Why leader `me` of `epoch` cannot follow the request; empty when it can.

    `ready` are the standbys that could take over now.
    """
    if request.epoch != epoch:
        return f"server {me} leads by now, in epoch {epoch}"
    if pair.pause is not None:
        return f"paused by {pair.pause.by}"
    if request.to and request.to not in ready:
        return f"server {request.to} is no standby that is ready"
    return "" if ready else "no standby is ready"


def heirs(ready: Sequence[int], wanted: int) -> list[int]:
    """Whom to give the active key to, one after the other until one takes it."""
    return [wanted] if wanted in ready else list(ready)


def take_back(keys: Keys, given_at: int) -> tuple[Compare, ...]:
    """Under which conditions the key is deleted that an heir does not claim."""
    return (mod_revision_is(keys.active, given_at),)


def ended_state(now_s: float, predecessor_stopped_at: float) -> TermState:
    """What a leader that has stopped says; while the one before it may serve, it says nothing."""
    return TermState.RELEASED if now_s >= predecessor_stopped_at else TermState.HELD
