"""The searches: scenarios in which no promise may break, and mutations that must break one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.model import mutants
from tests.model.begin import beginning, nobody_yet
from tests.model.code import Code
from tests.model.rules import Bounds, Rules
from tests.model.world import World


@dataclass(frozen=True, slots=True)
class Scenario:
    """A search of the protocol as it is."""

    bounds: Bounds
    begin: Callable[[Bounds], World] = beginning


@dataclass(frozen=True, slots=True)
class Mutation:
    """A search of a protocol with one mistake; `breaks` is part of the promise that must break."""

    rules: Rules
    bounds: Bounds
    breaks: str


SCENARIOS: Final[dict[str, Scenario]] = {
    "killed, suspected, replaced": Scenario(Bounds(challenges=1, crashes=1)),
    "replaced twice": Scenario(Bounds(challenges=2, writes=1)),
    "lease lost while alive": Scenario(Bounds(challenges=1, leases_lost=1)),
    "deleted and overwritten by hand": Scenario(Bounds(deleted_by_hand=1, junk=1)),
    "handed over there and back": Scenario(Bounds(wins=3, stops=2, writes=1)),
    "killed while handing over": Scenario(Bounds(stops=1, crashes=1)),
    "activation fails": Scenario(Bounds(wins=3, deleted_by_hand=1, failures=1)),
    "killed while activating": Scenario(Bounds(deleted_by_hand=1, crashes=1)),
    "timestamps": Scenario(Bounds(wins=1, crashes=1, saves=2)),
    "etcd is full": Scenario(Bounds(challenges=1, crashes=1, nospace=1, late=0)),
    "Go in between": Scenario(Bounds(deleted_by_hand=1, go_wins=1)),
    "junk over Go": Scenario(Bounds(wins=1, deleted_by_hand=1, go_wins=1, junk=1)),
    "the first leader": Scenario(Bounds(crashes=1, late=1), nobody_yet),
}

DEEP: Final[dict[str, Scenario]] = {
    "two ticks": Scenario(Bounds(serve_ticks=2, challenges=1, crashes=1)),
    "three processes": Scenario(Bounds(nodes=3, challenges=1, deleted_by_hand=1)),
    "three processes, one killed": Scenario(Bounds(nodes=3, challenges=1, crashes=1)),
    "three wins": Scenario(Bounds(wins=3, challenges=2, crashes=1)),
    "two late": Scenario(Bounds(late=2, challenges=1, writes=1, deleted_by_hand=1)),
    "two late, timestamps": Scenario(Bounds(late=2, crashes=1, saves=2, deleted_by_hand=1)),
    "all faults once, nothing late": Scenario(
        Bounds(late=0, crashes=1, leases_lost=1, deleted_by_hand=1, challenges=1, stops=1)
    ),
}

_WRITE_AFTER: Final = "was applied after epoch"
_ACT_AFTER: Final = " acts in epoch "
_STAMP: Final = "hands out timestamp"
_DEAD: Final = "no leader can serve any more"

MUTATIONS: Final[dict[str, Mutation]] = {
    "no fence": Mutation(
        Rules(Code(guards=mutants.no_fence)), Bounds(wins=1, challenges=1, writes=1), _WRITE_AFTER
    ),
    "fence by name": Mutation(
        Rules(Code(guards=mutants.fence_by_name)),
        Bounds(wins=1, leases_lost=1, writes=1),
        _WRITE_AFTER,
    ),
    "fence by lease alone": Mutation(
        Rules(Code(guards=mutants.fence_by_lease)),
        Bounds(wins=1, deleted_by_hand=1, writes=1),
        _WRITE_AFTER,
    ),
    "fence by lease alone, a bound": Mutation(
        Rules(Code(guards=mutants.fence_by_lease)),
        Bounds(wins=1, deleted_by_hand=1, saves=1),
        _WRITE_AFTER,
    ),
    "no wait after a lost challenge": Mutation(
        Rules(Code(succession=mutants.no_wait_after_challenge)),
        Bounds(wins=1, challenges=1, late=0),
        _ACT_AFTER,
    ),
    "no wait after the active key vanished": Mutation(
        Rules(Code(succession=mutants.no_wait_after_vanished)),
        Bounds(wins=1, deleted_by_hand=1, late=0),
        _ACT_AFTER,
    ),
    "serve lease counts from the answer": Mutation(
        Rules(count_from_send=False), Bounds(wins=1, challenges=1, late=0), _ACT_AFTER
    ),
    "serve lease looked at too early": Mutation(
        Rules(check_at_the_last_moment=False), Bounds(wins=1, challenges=1, late=0), _ACT_AFTER
    ),
    "revoke, then claim": Mutation(
        Rules(replace_in_one_step=False),
        Bounds(wins=1, challenges=1, nospace=1, late=0),
        "the active key was taken away while etcd takes nothing",
    ),
    "revoke, then claim, no fence": Mutation(
        Rules(Code(guards=mutants.no_fence), replace_in_one_step=False),
        Bounds(wins=1, challenges=1, writes=1, late=0),
        _WRITE_AFTER,
    ),
    "answer not compared": Mutation(
        Rules(Code(decide_replacement=mutants.answer_not_compared)),
        Bounds(wins=1, challenges=1, late=0),
        "has answered",
    ),
    "heir leads without a claim": Mutation(
        Rules(heir_claims=False), Bounds(stops=1, late=0), _ACT_AFTER
    ),
    "bound not stored ahead": Mutation(
        Rules(save_ahead=False), Bounds(wins=1, crashes=1, saves=1), _STAMP
    ),
    "mirror not caught up": Mutation(
        Rules(catch_up=False), Bounds(wins=1, crashes=1, writes=1, late=0), "without a write"
    ),
    "bound stored over anything": Mutation(
        Rules(bound_compares=False), Bounds(wins=1, crashes=1, saves=2), _STAMP
    ),
    "release before one's own wait is over": Mutation(
        Rules(Code(ended_state=mutants.always_released)),
        Bounds(deleted_by_hand=1, failures=1, late=0),
        _ACT_AFTER,
    ),
    "proven death taken for the end of all": Mutation(
        Rules(Code(succession=mutants.death_ends_all)),
        Bounds(deleted_by_hand=1, crashes=1, late=0),
        _ACT_AFTER,
    ),
    "Go's term taken for the end of all": Mutation(
        Rules(Code(succession=mutants.go_ends_all)),
        Bounds(wins=1, deleted_by_hand=1, go_wins=1, late=0),
        _ACT_AFTER,
    ),
    "own active key claimed by lease": Mutation(
        Rules(Code(decide=mutants.own_key_by_lease)), Bounds(stops=1), "a late claim of B itself"
    ),
    "junk is left alone": Mutation(
        Rules(Code(decide=mutants.junk_left_alone)), Bounds(wins=1, junk=1, late=0), _DEAD
    ),
    "junk over a Go coordinator is claimed": Mutation(
        Rules(Code(decide=mutants.junk_over_go_claimed)),
        Bounds(wins=1, deleted_by_hand=1, go_wins=1, junk=1, late=0),
        "over a Go coordinator",
    ),
    "an active key of one's own is left alone": Mutation(
        Rules(Code(decide=mutants.own_key_left_alone)), Bounds(wins=2, deleted_by_hand=1), _DEAD
    ),
}

SAFE_WITHOUT: Final[dict[str, Mutation]] = {
    "the comparison of the active key's lease in the fence": Mutation(
        Rules(Code(guards=mutants.fence_by_revision)), Bounds(challenges=1, writes=1), ""
    ),
    "the comparison of the answer": Mutation(
        Rules(Code(decide_replacement=mutants.answer_not_compared)),
        Bounds(challenges=1, writes=1, needless=False),
        "",
    ),
    "the comparison of the active key's revision in a claim of one's own active key": Mutation(
        Rules(Code(decide=mutants.own_key_by_lease)),
        Bounds(stops=1, writes=1, needless=False),
        "",
    ),
    "one step in a replacement, while etcd has room": Mutation(
        Rules(replace_in_one_step=False), Bounds(challenges=1, writes=1), ""
    ),
}
"""What costs availability at most; `breaks` is empty."""
