"""Where the code decides by a pure function, the model decides the same in every world."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Compare, lease_is, mod_revision_is
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.election.decisions import (
    ClaimActiveKey,
    Decision,
    decide_claim,
    decide_replacement,
)
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.runtime.clock import SystemClock
from tests.model.etcd import refused
from tests.model.moves import Table
from tests.model.rules import Bounds, Rules
from tests.model.standby import claim_of
from tests.model.world import HAND, Key, Phase, Request, World, beginning

KEYS = Keys("by-dev/meta", "rootcoord")
EVERYTHING = Bounds(late=0, wins=1, crashes=1, deleted_by_hand=1, junk=1, go_wins=1)
HANDED_OVER = Bounds(late=0, wins=1, stops=1)
CHALLENGED = Bounds(late=0, wins=1, challenges=2, deleted_by_hand=1, junk=1)


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


def decided(active: KeyValue | None, own_lease: int) -> Decision:
    holder = SessionRecord.of(active.key, active.value) if active else None
    pair = RoleSnapshot("rootcoord", active=active, holder=holder, leadership_revision=1)
    return decide_claim(KEYS, pair, own_lease)


def holds(compare: Compare, world: World, asker: int) -> bool:
    """Whether etcd, as the model has it, would say yes; the answer key's revision is its count."""
    if compare.key == KEYS.answer(asker):
        return compare == mod_revision_is(compare.key, world.etcd.answered[asker])
    assert compare.key == KEYS.active
    k = world.etcd.active
    now = key_value(k) if k else KeyValue(KEYS.active, b"", 0, 0, 0, 0)
    return bool(getattr(now, compare.target.value) == compare.operand)


def test_claims_are_judged_alike() -> None:
    statuses_fresh: set[tuple[Key | None, int]] = set()
    kinds: set[str] = set()
    for world in chain(worlds(EVERYTHING), worlds(HANDED_OVER)):
        k = world.etcd.active
        for i, node in enumerate(world.nodes):
            if node.phase is not Phase.STANDBY or (k, node.lease) in statuses_fresh:
                continue
            statuses_fresh.add((k, node.lease))
            claim = claim_of(world, i)
            claimed = claim is not None and claim.kind != "bury"
            active = key_value(k) if k else None
            verdict = decided(active, node.lease)
            assert isinstance(verdict, ClaimActiveKey) == claimed, (k, node)
            if isinstance(verdict, ClaimActiveKey):
                assert all(holds(each, world, i) for each in verdict.conditions), verdict
            kinds.add(claim.kind if claim else "")
    assert kinds >= {"claim absent key", "claim own key", "claim junk", ""}


def test_our_own_k_is_claimed_by_what_the_model_compares() -> None:
    """A late claim of an active key that was written again since is refused in both."""
    etcd = beginning(HANDED_OVER).etcd
    written_again = Key(lease=10, mod=3, holder=10)
    for seen in (2, 3):
        k = Key(lease=10, mod=seen, holder=10)
        verdict = decided(key_value(k), 10)
        assert isinstance(verdict, ClaimActiveKey)
        assert verdict.cause is Cause.REGAINED
        world = beginning(HANDED_OVER)._replace(etcd=etcd._replace(active=written_again))
        late = Request("claim own key", 0, 10, mod=seen, process=10)
        accepted = all(holds(each, world, 0) for each in verdict.conditions)
        assert accepted == (not refused(world.etcd, late, Rules())) == (seen == 3)


def test_replacements_compare_alike() -> None:
    """For every question in every world, and whatever the active key may have become since."""
    seen: set[tuple[Key | None, tuple[int, ...], Request]] = set()
    outcomes: set[tuple[bool, ...]] = set()
    for world in worlds(CHALLENGED):
        for i, node in enumerate(world.nodes):
            asked = node.question
            if asked is None or node.lease not in world.etcd.leases:
                continue
            request = Request(
                "replace", i, node.lease, asked.mod, asked.lease, asked.nonce, node.process
            )
            key = (world.etcd.active, world.etcd.answered, request)
            if key in seen:
                continue
            seen.add(key)
            outcomes |= set(compared(world, i, request))
    assert {(True, True, True), (True, True, False)} <= outcomes, "nothing to compare"
    assert {(False, True, True), (True, False, True), (False, False, True)} <= outcomes


def compared(world: World, i: int, request: Request) -> Iterator[tuple[bool, ...]]:
    """Which comparisons of the code's replacement hold, for all that the key may have become."""
    old = Key(request.old, request.mod, 1)
    order = ReplacementOrder(
        key_value(old), Cause.SILENT, since_s=0.0, answer_revision=request.to - 1
    )
    conditions = decide_replacement(KEYS, order, i).conditions
    for k in (world.etcd.active, None, old._replace(mod=old.mod + 1), old._replace(lease=0)):
        after = world._replace(etcd=world.etcd._replace(active=k))
        held = tuple(holds(each, after, i) for each in conditions)
        assert all(held) == (not refused(after.etcd, request, Rules())), (after, conditions)
        yield held


def test_the_fence_compares_lease_and_revision() -> None:
    fence = Fence(MemoryEtcd(SystemClock()), KEYS.active, lease=10, epoch=3)
    assert set(fence.compares) == {lease_is(KEYS.active, 10), mod_revision_is(KEYS.active, 3)}
