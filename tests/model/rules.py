"""What a run of the model may vary: the rules of the protocol, and how far the search goes."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.code import CODE, Code


@dataclass(frozen=True, slots=True)
class Rules:
    """The protocol as it should be; each field that differs from its default is a mutation.

    Attributes:
        code: the decisions of the product, or mutants of them.
        count_from_send: a serve lease counts from before its proof was asked for.
        check_at_the_last_moment: nothing lies between the look at the serve lease and the act.
        replace_in_one_step: one transaction takes the active key and puts the new holder in.
        heir_claims: an heir leads only after a claim of its own.
        save_ahead: timestamps are handed out below a bound that is stored.
        catch_up: a mark is waited for before the mirror is trusted.
        bound_compares: a bound is stored only over the one that was read.
    """

    code: Code = CODE
    count_from_send: bool = True
    check_at_the_last_moment: bool = True
    replace_in_one_step: bool = True
    heir_claims: bool = True
    save_ahead: bool = True
    catch_up: bool = True
    bound_compares: bool = True


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a search goes: how often each thing may happen in one trace.

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
