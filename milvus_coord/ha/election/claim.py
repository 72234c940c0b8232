"""Whether the active key may be claimed, and under which comparison: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.etcd.txn import Compare, lease_is, mod_revision_is, version_is
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause


@dataclass(frozen=True, slots=True)
class Claim:
    """The active key may be taken if all `conditions` still hold."""

    conditions: tuple[Compare, ...]
    cause: Cause


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody holds the active key: `by` for a log line, `holder` when its record is readable."""

    by: str
    holder: SessionRecord | None = None


def decide_claim(
    keys: Keys, active: KeyValue | None, *, own_lease: int, leadership_revision: int
) -> Claim | Held:
    """Decide from the active key as it is known.

    `leadership_revision` is the mod_revision of the leadership key, 0 when it is absent.

    | the active key | answer |
    |---|---|
    | absent | claim |
    | on our own lease: given to us, or won by a transaction whose answer was lost | claim |
    | a session on another lease | held |
    | junk on another lease | held: it goes when that lease goes |
    | on no lease, last written as a session by one of ours | claim: that one is fenced off |
    | on no lease and never a session since it was created | claim: it has no holder |
    | on no lease, but Go may have held it before | held: a Go active does not notice, and writes |
    """
    if active is None:
        return Claim((version_is(keys.active, 0),), Cause.LEASE_ENDED)
    if active.lease == own_lease:
        # Also as it was last written: a claim that arrives late must not break a later one's fence.
        ours = lease_is(keys.active, own_lease), mod_revision_is(keys.active, active.mod_revision)
        return Claim(ours, Cause.REGAINED)
    holder = SessionRecord.of(active.key, active.value)
    if active.lease:
        if holder is None:
            return Held(f"junk on lease {active.lease:x}, until that lease ends")
        return Held(f"server {holder.server_id} at {holder.address}", holder)
    ours_before = active.create_revision <= leadership_revision
    if ours_before or active.version == 1:
        return Claim((mod_revision_is(keys.active, active.mod_revision),), Cause.JUNK)
    return Held(
        "a value on no lease, put over the session of a Go coordinator that may still be active; "
        "stop that one, then delete the key"
    )


def replacement_claim(keys: Keys, order: ReplacementOrder, me: int) -> Claim:
    """Put ourselves over an active that must go, unless it has moved meanwhile.

    Compared besides the active key: that our challenge is still unanswered.
    """
    active = order.active
    conditions: tuple[Compare, ...] = (
        lease_is(keys.active, active.lease),
        mod_revision_is(keys.active, active.mod_revision),
    )
    if order.answer_revision is not None:
        conditions += (mod_revision_is(keys.answer(me), order.answer_revision),)
    return Claim(conditions, order.cause)
