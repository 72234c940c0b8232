"""What a run of the model may vary: the rules of the protocol, and how far the search goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FenceBy(Enum):
    """What a guarded write compares."""

    LEASE_AND_MOD = "the active key hangs on our lease, and was last written at our epoch"
    MOD = "the active key was last written at our epoch"
    LEASE = "the active key hangs on our lease"
    NAME = "the active key names us"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Rules:
    """The protocol as it should be; each field that differs from its default is a mutation.

    Attributes:
        fence: what guarded writes compare.
        wait_after_challenge: who replaces an active that did not answer waits its serve lease out.
        wait_after_vanished: so does who finds that the active key has vanished.
        count_from_send: a serve lease counts from before its proof was asked for.
        check_at_the_last_moment: nothing lies between the look at the serve lease and the act.
        replace_in_one_step: one transaction takes the active key and puts the new holder in.
        compare_answer: that transaction is refused once the active has answered.
        heir_claims: an heir leads only after a claim of its own.
        save_ahead: timestamps are handed out below a bound that is stored.
        catch_up: a mark is waited for before the mirror is trusted.
        bound_compares: a bound is stored only over the one that was read.
        release_tells_all: who gives the active key up before its own wait is over does not say that
            all is over.
        death_is_not_all: who takes over from a proven dead process waits, unless that one's own
            wait was over.
        record_before_go: the leadership record counts although a Go coordinator led since.
        claim_compares_mod: a claim of an active key on our own lease compares the revision we have
            seen.
        never: kinds of claims that are never made.
    """

    fence: FenceBy = FenceBy.LEASE_AND_MOD
    wait_after_challenge: bool = True
    wait_after_vanished: bool = True
    count_from_send: bool = True
    check_at_the_last_moment: bool = True
    replace_in_one_step: bool = True
    compare_answer: bool = True
    heir_claims: bool = True
    save_ahead: bool = True
    catch_up: bool = True
    bound_compares: bool = True
    release_tells_all: bool = True
    death_is_not_all: bool = True
    record_before_go: bool = True
    claim_compares_mod: bool = True
    never: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a search goes: how often each thing may happen in one story.

    Attributes:
        serve_ticks: length of the serve lease.
        wins: of the active key, besides the first term.
        late: transactions whose senders do not wait for the answer any more.
        needless: whether a failover for nothing counts as a broken promise.
    """

    nodes: int = 2
    serve_ticks: int = 1
    wins: int = 2
    late: int = 1
    crashes: int = 0
    leases_lost: int = 0
    deleted_by_hand: int = 0
    junk: int = 0
    challenges: int = 0
    stops: int = 0
    failures: int = 0
    writes: int = 0
    saves: int = 0
    nospace: int = 0
    go_wins: int = 0
    needless: bool = True
