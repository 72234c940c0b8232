"""What etcd makes of a transaction: refuse it, or apply it as a whole."""

from __future__ import annotations

from typing import Final

from milvus_coord.etcd.txn import Compare, Target
from milvus_coord.ha.pair.keys import number_after
from milvus_coord.ha.pair.leadership_record import TermState
from milvus_coord.ha.pair.takeover import Cause
from tests.model.code import KEYS, value_of
from tests.model.rules import Bounds
from tests.model.world import Etcd, Key, Left, Phase, Request, World, name

ACTIVE: Final = KEYS.active
BOUND: Final = b"by-dev/kv/timestamp"
_ABSENT: Final = Key(0, 0, 0)


def refused(etcd: Etcd, request: Request) -> bool:
    """Whether a comparison fails, or the lease that is to be put is gone, or there is no space."""
    if etcd.nospace or (request.lease and request.lease not in etcd.leases):
        return True
    return not all(holds(etcd, compare) for compare in request.when)


def holds(etcd: Etcd, compare: Compare) -> bool:
    """Whether a comparison holds now; the revision of an answer key is the number it answers."""
    target, key, operand = compare.target, compare.key, compare.operand
    if key == ACTIVE:
        active = etcd.active or _ABSENT
        if target is Target.MOD_REVISION:
            return active.mod == operand
        if target is Target.LEASE:
            return active.lease == operand
        if target is Target.VERSION:
            return active.mod == operand  # 0: absent; nothing else is compared
        return etcd.active is not None and value_of(active.holder) == operand
    if key == BOUND:
        return b"%d" % etcd.bound == operand
    asker = number_after(KEYS.answers, key)
    assert asker is not None, compare
    return etcd.answered[asker] == operand


def applied(world: World, request: Request, bounds: Bounds) -> World:
    """The world after a transaction that is not refused."""
    if request.claim is not None:
        return _won(world, request, bounds)
    etcd, done = world.etcd, world.done
    if request.epoch < done.won:
        return world.broken(
            f"{request.kind!r} of epoch {request.epoch} was applied after epoch {done.won} was won"
        )
    if request.kind in ("recover", "save"):
        etcd = etcd._replace(bound=request.to)
    elif request.kind == "write":
        etcd = etcd._replace(writes=etcd.writes + 1)
    elif request.kind == "tell":
        etcd = etcd._replace(record=request.record)
    elif request.kind == "give":
        revision = etcd.revision + 1
        active = Key(request.lease, revision, request.process)
        etcd = etcd._replace(active=active, revision=revision, record=request.record)
    elif request.kind == "release":
        etcd = etcd._replace(active=None, record=request.record)
    return world._replace(etcd=etcd)


def _won(world: World, request: Request, bounds: Bounds) -> World:
    etcd, left, done = world.etcd, world.left, world.done
    active = Key(request.lease, etcd.revision + 1, request.process)
    is_junk = request.claim is not None and request.claim.cause is Cause.JUNK
    if is_junk and etcd.active is not None and etcd.active.of_go:
        return world.broken("junk was claimed over a Go coordinator that may be active")
    if bounds.needless and (needless := _needless(world, request)):
        return world.broken(needless)
    return world._replace(
        etcd=etcd._replace(
            active=active, revision=active.mod, record=TermState.HELD, last_go=False
        ),
        left=left._replace(wins=left.wins - 1),
        done=done._replace(won=active.mod),
    )


def _needless(world: World, request: Request) -> str:
    """Why this claim ends a term that nothing was wrong with; safe, but a failover for nothing."""
    etcd, claimant = world.etcd, world.nodes[request.by]
    who = name(request.by)
    if request.to and etcd.answered[request.by] >= request.to:
        return f"{who} replaces an active that has answered its challenge"
    leads = claimant.phase in (Phase.ACTIVATING, Phase.ACTIVE)
    if etcd.active is not None and leads and claimant.epoch == etcd.active.mod:
        return f"a late claim of {who} itself ends its term, with which nothing is wrong"
    return ""


def without_lease(etcd: Etcd, lease: int) -> Etcd:
    """A lease ends, and the active key with it if it hangs there."""
    active = None if etcd.active is not None and etcd.active.lease == lease else etcd.active
    return etcd._replace(active=active, leases=etcd.leases - {lease})


def hopeless(etcd: Etcd, request: Request) -> bool:
    """Whether a request can never be applied any more, whatever happens: it may be forgotten.

    A lease does not come back, and no two writes of the active key have the same revision.
    """
    if request.claim is not None and request.lease not in etcd.leases:
        return True
    now = etcd.active.mod if etcd.active is not None else 0
    for compare in request.when:
        if compare.target is Target.MOD_REVISION and compare.key == ACTIVE and compare.operand:
            return compare.operand != now
    return False


def spent(left: Left, what: str) -> Left:
    """One fault less."""
    return left._replace(**{what: getattr(left, what) - 1})
