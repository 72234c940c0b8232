"""Where the code decides by a pure function, the model decides the same in every world."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from milvus_coord.etcd.memory import MemoryEtcd
from milvus_coord.etcd.txn import lease_is, mod_revision_is
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.claim import Claim, judge
from milvus_coord.ha.fence import Fence
from milvus_coord.ha.keys import Keys
from milvus_coord.ha.record import SessionRecord
from milvus_coord.runtime.clock import SystemClock
from tests.model.moves import Table
from tests.model.rules import Bounds, Rules
from tests.model.standby import claim_of
from tests.model.world import HAND, Key, Phase, World, beginning

KEYS = Keys("by-dev/meta", "rootcoord")
EVERYTHING = Bounds(late=0, wins=1, crashes=1, deleted_by_hand=1, junk=1, go_wins=1)
HANDED_OVER = Bounds(late=0, wins=1, stops=1)


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


def key_value(k: Key) -> KeyValue:
    record = SessionRecord(abs(k.holder), "rootcoord", "10.0.0.1:53100", fenced=k.holder > 0)
    value = b"junk" if k.holder == HAND else record.encode()
    return KeyValue(
        KEYS.active, value, k.lease, version=k.mod, create_revision=1, mod_revision=k.mod
    )


def test_claims_are_judged_alike() -> None:
    judged: set[tuple[Key | None, int]] = set()
    kinds: set[str] = set()
    for world in chain(worlds(EVERYTHING), worlds(HANDED_OVER)):
        k = world.etcd.k
        for i, node in enumerate(world.nodes):
            if node.phase is not Phase.STANDBY or (k, node.lease) in judged:
                continue
            judged.add((k, node.lease))
            claim = claim_of(world, i)
            claimed = claim is not None and claim.kind != "bury"
            active = key_value(k) if k else None
            verdict = judge(KEYS, active, own_lease=node.lease, leadership_revision=1)
            assert isinstance(verdict, Claim) == claimed, (k, node)
            kinds.add(claim.kind if claim else "")
    assert kinds >= {"claim absent K", "claim own K", "claim junk", ""}


def test_the_fence_compares_lease_and_revision() -> None:
    fence = Fence(MemoryEtcd(SystemClock()), KEYS.active, lease=10, epoch=3)
    assert set(fence.compares) == {lease_is(KEYS.active, 10), mod_revision_is(KEYS.active, 3)}
