"""The asker's side of pause, resume and switchover."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, delete, get, mod_revision_is, put, version_is
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import Pause, RequestState, SwitchoverRequest
from milvus_coord.ha.pair.role_snapshot import UNREADABLE_PAUSE, Instance, RoleSnapshot
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.ha.settings import WRITE_S
from milvus_coord.model.errors import BadValue, CoordError

CHANGED_MEANWHILE: Final = "somebody else changed it meanwhile; ask again"


_PAUSE_TRIES: Final = 5


class RequestRefused(CoordError):
    """What was asked for is not done; the text says why."""


async def pause(etcd: Etcd, keys: Keys, request: Pause) -> tuple[Pause, bool]:
    """Pause the pair. The pause in force, and whether it is this one: it is not when there is one
    that ends no sooner.

    A pause with an end hangs on a lease: etcd ends it, whoever is there. Etcd grants no lease
    below some seconds; then the pause ends with the lease. Raises RequestRefused when others change
    it again and again, and etcd's errors.
    """
    lease = 0
    if request.until_ms:
        granted = await etcd.lease_grant(math.ceil((request.until_ms - request.since_ms) / 1000))
        lease = granted.id
        request = replace(request, until_ms=request.since_ms + granted.ttl_s * 1000)
    write = put(keys.paused, request.encode(), lease)
    as_it_was, replaced_lease = version_is(keys.paused, 0), 0
    for _ in range(_PAUSE_TRIES):
        writing = Txn((as_it_was,), (write,), (get(keys.paused),))
        result = await etcd.txn(writing, timeout_s=WRITE_S)
        if result.succeeded:
            if replaced_lease:
                await cancel(etcd, replaced_lease)
            return request, True
        if (found := result.kv(0)) is None:
            as_it_was, replaced_lease = version_is(keys.paused, 0), 0
            continue
        there: Pause | None = _pause_in(found.key, found.value)
        if there is not None and not _ends_sooner(there, request):
            break
        as_it_was, replaced_lease = mod_revision_is(keys.paused, found.mod_revision), found.lease
    else:
        there = None
    if lease:
        await cancel(etcd, lease)
    if there is None:
        raise RequestRefused("others change the pause at the same moment, try again")
    return there, False


def _ends_sooner(there: Pause, request: Pause) -> bool:
    return there.until_ms > 0 and (not request.until_ms or there.until_ms < request.until_ms)


async def resume(etcd: Etcd, keys: Keys) -> Pause | None:
    """End a pause; the pause that was there, None when there was none. Raises etcd's errors."""
    found = (await etcd.get(keys.paused)).kv
    if found is None:
        return None
    await etcd.txn(Txn((), (delete(keys.paused),)), timeout_s=WRITE_S)
    if found.lease:
        await cancel(etcd, found.lease)
    return _pause_in(found.key, found.value)


def why_no_switchover(snapshot: RoleSnapshot, to: int, *, former: int = 0) -> str | None:
    """Why no switchover from `former` to `to` can be asked for now; None when it can.

    0 is for whoever leads, and for any standby.
    """
    if snapshot.active is None:
        return "nobody leads"
    leader = snapshot.leader
    if leader is None:
        return "the active's key holds no session"
    name = f"{leader.server_id} ({leader.address})"
    if not leader.ours:
        return f"the active, {name}, is a Go coordinator: it hands over on SIGTERM alone"
    if (paused := snapshot.pause) is not None:
        return f"it is paused by {paused.by}; resume it first"
    if leader.position != "active":
        return f"{name} is {leader.position}"
    if former not in (0, leader.server_id):
        return f"{name} leads, not {former}"
    if to:
        if to == leader.server_id:
            return f"{name} leads already"
        heir = snapshot.instance(to)
        if heir is None:
            return f"there is no instance {to}"
        trouble = _unfit(heir)
        return f"{to} ({heir.address}) {trouble}" if trouble else None
    troubles = [
        f"{heir.server_id} {trouble}" for heir in snapshot.standbys if (trouble := _unfit(heir))
    ]
    if len(troubles) < len(snapshot.standbys):
        return None
    return "; ".join(["no standby is ready", *troubles]) if troubles else "there is no standby"


async def request_switchover(
    etcd: Etcd, keys: Keys, snapshot: RoleSnapshot, request: SwitchoverRequest, lease: int
) -> None:
    """Put the request under `lease`, if all is still as `snapshot` has it.

    Raises RequestRefused when it is not, or when another request is waiting for its answer;
    etcd's errors.
    """
    other = snapshot.request
    if (
        other is not None
        and other.epoch == snapshot.epoch
        and other.state is not RequestState.REFUSED
    ):
        raise RequestRefused(
            f"{other.by} has asked for a switchover already, it is {other.state.value}"
        )
    written_at = snapshot.switchover.mod_revision if snapshot.switchover else 0
    unchanged = (
        mod_revision_is(keys.active, snapshot.epoch),
        version_is(keys.paused, 0),
        mod_revision_is(keys.switchover, written_at),
    )
    write = put(keys.switchover, request.encode(), lease)
    if not (await etcd.txn(Txn(unchanged, (write,)), timeout_s=WRITE_S)).succeeded:
        raise RequestRefused(CHANGED_MEANWHILE)


async def cancel(etcd: Etcd, lease: int) -> None:
    """Take a request back, or clean up after it; etcd does the same when the lease ends."""
    try:
        await etcd.lease_revoke(lease, timeout_s=WRITE_S)
    except EtcdError:
        return


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a switchover has come.

    Attributes:
        step: what is being waited for, in words.
        leader: who leads now instead, once it does.
        takeover: how that came to pass; None for a Go coordinator, which writes no history.
        done: whether `leader` serves.
    """

    step: str
    leader: Instance | None = None
    takeover: Takeover | None = None
    done: bool = False


def progress(snapshot: RoleSnapshot, request: SwitchoverRequest, *, accepted: bool) -> Progress:
    """Where `request` stands; `accepted` once it was seen so. Raises RequestRefused.

    A leader that came by itself, before the active had said anything, is a refusal too: what was
    asked of the one before has not been done.
    """
    answer = (
        snapshot.request if snapshot.request and snapshot.request.nonce == request.nonce else None
    )
    if answer and answer.state is RequestState.REFUSED:
        raise RequestRefused(answer.why or "the active refused without a reason")
    if snapshot.epoch == request.epoch:
        if answer is None and not accepted:
            raise RequestRefused(
                "the request is gone from etcd: withdrawn by hand, or its lease has ended"
            )
        asked = answer is not None and answer.state is RequestState.ASKED
        return Progress("the active's answer" if asked else "the active's hand-over")
    leader = snapshot.leader
    if leader is None:
        return Progress("a new leader")
    if not leader.ours:
        return Progress("", leader, None, done=True)
    entry = snapshot.takeover(snapshot.epoch)
    if entry is None:
        return Progress(f"{leader.server_id} to claim the active's key", leader)
    if not accepted and entry.cause is not Cause.SWITCHOVER:
        raise RequestRefused(
            f"{leader.server_id} ({leader.address}) took over meanwhile for another reason: "
            f"{entry.cause.value}"
        )
    return Progress(f"{leader.server_id} to serve", leader, entry, done=entry.served)


def _unfit(heir: Instance) -> str | None:
    if not heir.ours:
        return "is a Go coordinator: none can be chosen"
    if heir.status is None:
        return "does not say how it is"
    if heir.status.ready:
        return None
    return f"is not ready: {', '.join(heir.status.why) or 'it does not say why'}"


def _pause_in(key: bytes, value: bytes) -> Pause:
    try:
        return Pause.decode(key, value)
    except BadValue:
        return UNREADABLE_PAUSE
