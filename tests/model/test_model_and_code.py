"""The model asks the code about all that the code decides, and etcd compares what it sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Target, lease_is, mod_revision_is
from milvus_coord.ha.election.decisions import ClaimActiveKey, Wait
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.runtime.clock import SystemClock
from tests.model.begin import beginning
from tests.model.code import CODE, KEYS
from tests.model.etcd import ACTIVE, refused
from tests.model.moves import Table
from tests.model.rules import Bounds, Rules
from tests.model.world import Key, Phase, Request, World

SMALL: Final = (
    Bounds(late=1, wins=1, crashes=1, deleted_by_hand=1, junk=1, go_wins=1),
    Bounds(late=1, wins=1, stops=1),
    Bounds(late=1, wins=1, challenges=2, deleted_by_hand=1),
)


def worlds(bounds: Bounds) -> Iterator[World]:
    table, first = Table(Rules(), bounds), beginning(bounds)
    known, ahead = {first}, [first]
    while ahead:
        world = ahead.pop()
        yield world
        for _, after in table.next(world):
            if after not in known:
                known.add(after)
                ahead.append(after)


def test_every_decision_is_asked_for() -> None:
    """A search of small bounds meets every kind of decision, and every kind of claim."""
    decisions, claims = set(), set()
    for bounds in SMALL:
        for world in worlds(bounds):
            claims |= {late.claim.cause for late in world.late if late.claim is not None}
            for i, node in enumerate(world.nodes):
                if node.phase is Phase.STANDBY:
                    decisions.add(type(CODE.decision(world.etcd.active, i, node.lease)))
    assert {each.__name__ for each in decisions} == {"ClaimActiveKey", "DetectFailure", "Wait"}
    assert claims == {
        Cause.LEASE_ENDED,
        Cause.REGAINED,
        Cause.JUNK,
        Cause.PROCESS_DIED,
        Cause.SILENT,
    }


def test_junk_on_a_live_lease_is_waited_for() -> None:
    assert isinstance(CODE.decision(Key(77, 5, -1), 0, 10), Wait)


def test_etcd_compares_what_the_code_sends() -> None:
    """A late claim of a key that was written again since is refused."""
    start = beginning(Bounds())
    again = start.etcd._replace(active=Key(lease=10, mod=3, holder=10))
    for seen in (2, 3):
        claim = CODE.decision(Key(lease=10, mod=seen, holder=10), 0, 10)
        assert isinstance(claim, ClaimActiveKey)
        late = Request("late", 0, claim.conditions, 10, 10, claim)
        assert refused(again, late) == (seen == 2)
    targets = {each.target for each in CODE.fence(10, 3) if each.key == ACTIVE}
    assert targets == {Target.LEASE, Target.MOD_REVISION}


def test_the_fence_is_made_of_what_the_model_compares() -> None:
    fence = Fence(MemoryEtcd(SystemClock()), KEYS.active, lease=10, epoch=3)
    assert set(fence.compares) == set(CODE.fence(10, 3))
    assert set(fence.compares) == {lease_is(KEYS.active, 10), mod_revision_is(KEYS.active, 3)}
