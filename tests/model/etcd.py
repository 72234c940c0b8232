"""What etcd makes of a transaction: refuse it, or apply it as a whole."""

from __future__ import annotations

from typing import Final

from tests.model.rules import Bounds, FenceBy, Rules
from tests.model.world import Etcd, Key, Left, Phase, Record, Request, World, name, node_of

CLAIMS: Final = frozenset({"claim absent key", "claim own key", "claim junk", "bury", "replace"})


def refused(etcd: Etcd, request: Request, rules: Rules) -> bool:
    """Whether a comparison fails, or the lease that is to be put is gone, or there is no space."""
    if etcd.nospace:
        return True
    if request.kind in CLAIMS:
        return request.lease not in etcd.leases or not _may_be_claimed(etcd, request, rules)
    if request.kind == "give" and request.to not in etcd.leases:
        return True
    if request.kind in ("recover", "save") and rules.bound_compares and etcd.bound != request.old:
        return True
    return not fenced(etcd, request, rules)


def fenced(etcd: Etcd, request: Request, rules: Rules) -> bool:
    """Whether the comparisons of a guarded write hold."""
    k = etcd.active
    if rules.fence is FenceBy.NOTHING:
        return True
    if k is None:
        return False
    if rules.fence is FenceBy.NAME:
        return k.holder > 0 and node_of(k.holder) == request.by
    if rules.fence is FenceBy.LEASE:
        return k.lease == request.lease
    if rules.fence is FenceBy.MOD:
        return k.mod == request.mod
    return k.lease == request.lease and k.mod == request.mod


def _may_be_claimed(etcd: Etcd, claim: Request, rules: Rules) -> bool:
    k = etcd.active
    if claim.kind == "claim absent key":
        return k is None
    if k is None:
        return False
    if claim.kind == "claim own key":
        return k.lease == claim.lease and (k.mod == claim.mod or not rules.claim_compares_mod)
    if k.lease != claim.old or k.mod != claim.mod:
        return False
    if claim.kind == "replace" and rules.compare_answer:
        return etcd.answered[claim.by] < claim.to
    return True


def applied(world: World, request: Request, bounds: Bounds) -> World:
    """The world after a transaction that is not refused."""
    if request.kind in CLAIMS:
        return _won(world, request, bounds)
    etcd, done = world.etcd, world.done
    if request.mod < done.won:
        return world.broken(
            f"{request.kind!r} of epoch {request.mod} was applied after epoch {done.won} was won"
        )
    if request.kind in ("recover", "save"):
        etcd = etcd._replace(bound=request.to)
    elif request.kind == "write":
        etcd = etcd._replace(writes=etcd.writes + 1)
    elif request.kind == "tell":
        etcd = etcd._replace(record=Record.SERVED)
    elif request.kind == "give":
        revision = etcd.revision + 1
        k = Key(request.to, revision, request.process)
        etcd = etcd._replace(active=k, revision=revision, record=Record.RELEASED)
    elif request.kind == "release":
        record = Record.RELEASED if request.to else Record.HELD
        etcd = etcd._replace(active=None, record=record)
    return world._replace(etcd=etcd)


def _won(world: World, claim: Request, bounds: Bounds) -> World:
    etcd, left, done = world.etcd, world.left, world.done
    k = Key(claim.lease, etcd.revision + 1, claim.process)
    if bounds.needless and (needless := _needless(world, claim)):
        return world.broken(needless)
    return world._replace(
        etcd=etcd._replace(active=k, revision=k.mod, record=Record.HELD, last_go=False),
        left=left._replace(wins=left.wins - 1),
        done=done._replace(won=k.mod),
    )


def _needless(world: World, claim: Request) -> str:
    """Why this claim ends a term that nothing was wrong with; safe, but a failover for nothing."""
    etcd, claimant = world.etcd, world.nodes[claim.by]
    who = name(claim.by)
    if claim.kind == "replace" and etcd.answered[claim.by] >= claim.to:
        return f"{who} replaces an active that has answered its challenge"
    leads = claimant.phase in (Phase.ACTIVATING, Phase.ACTIVE)
    if etcd.active is not None and leads and claimant.epoch == etcd.active.mod:
        return f"a late claim of {who} itself ends its term, with which nothing is wrong"
    return ""


def wait_of(etcd: Etcd, claim: Request, rules: Rules, serve_ticks: int) -> int:
    """How long a claim that wins now has to wait until all before it have certainly stopped."""
    if etcd.record in (Record.NONE, Record.RELEASED):
        return 0
    if claim.old and claim.kind == "claim absent key" and not rules.record_before_go:
        return 0
    if etcd.active is None and not rules.wait_after_vanished:
        return 0
    if claim.kind == "replace" and not rules.wait_after_challenge:
        return 0
    if claim.kind == "bury" and (etcd.record is Record.SERVED or not rules.death_is_not_all):
        return 0
    return serve_ticks


def without_lease(etcd: Etcd, lease: int) -> Etcd:
    """A lease ends, and the active key with it if it hangs there."""
    k = None if etcd.active is not None and etcd.active.lease == lease else etcd.active
    return etcd._replace(active=k, leases=etcd.leases - {lease})


def hopeless(etcd: Etcd, request: Request, rules: Rules) -> bool:
    """Whether a request can never be applied any more, whatever happens: it may be forgotten."""
    if request.kind in CLAIMS:
        if request.lease not in etcd.leases:
            return True
        if request.kind == "claim own key" and not rules.claim_compares_mod:
            return False
        return bool(request.mod) and (etcd.active is None or etcd.active.mod != request.mod)
    if rules.fence in (FenceBy.LEASE_AND_MOD, FenceBy.MOD):
        return etcd.active is None or etcd.active.mod != request.mod
    return False


def spent(left: Left, what: str) -> Left:
    """One fault less."""
    return left._replace(**{what: getattr(left, what) - 1})
