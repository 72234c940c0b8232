"""What `milvus status` prints of a picture: the table, JSON, the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from milvus_coord.cli.format import local_time, printable, span
from milvus_coord.cli.ha_pause import described
from milvus_coord.cli.table import table
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import LeaseStatus
from milvus_coord.ha.pair.role_follower import STALE_S, RoleFollower
from milvus_coord.ha.pair.role_snapshot import Instance, RoleSnapshot

NO_ACTIVE: Final = 3
NO_READY_STANDBY: Final = 4

HEAD: Final = (
    "ROLE", "POSITION", "READY", "ID", "ADDRESS", "HTTP",
    "EPOCH", "LEASE", "SERVE", "BEHIND", "VERSION",
)  # fmt: skip
NUMBERS: Final = "ID EPOCH BEHIND"


@dataclass(frozen=True, slots=True)
class RoleSeen:
    """One role as it is shown.

    Attributes:
        silent_s: by server id, how long ago its status was written, as seen from here.
        leases: what etcd says of the leases of instances that do not say it themselves.
    """

    role: str
    snapshot: RoleSnapshot
    silent_s: Mapping[int, float] = field(default_factory=dict)
    leases: Mapping[int, LeaseStatus] = field(default_factory=dict)

    def stale(self, one: Instance) -> bool:
        """Whether it has not written its status of late, though its lease lives."""
        return self.silent_s.get(one.server_id, 0.0) >= STALE_S

    def ready(self, one: Instance) -> bool | None:
        """Whether this standby could take over; None for Go's, which say nothing of it."""
        if not one.ours:
            return None
        return one.status is not None and one.status.ready and not self.stale(one)


async def see(etcd: Etcd, follower: RoleFollower, role: str) -> RoleSeen:
    """The picture of `role` now. Raises etcd's errors."""
    snapshot = follower.snapshot(role)
    silent = {
        one.server_id: silent_s
        for one in snapshot.instances
        if (silent_s := follower.silent_s(role, one.server_id)) is not None
    }
    quiet = [one for one in snapshot.instances if one.lease and one.status is None]
    leases = {one.server_id: await etcd.lease_time_to_live(one.lease) for one in quiet}
    return RoleSeen(role, snapshot, silent, leases)


def exit_code(seen: Sequence[RoleSeen]) -> int:
    """0: each role has an active and a standby that can take over; the worst of all roles.

    A Go standby counts: it says nothing of itself, but it takes over.
    """
    codes = [_code(one) for one in seen]
    if not codes or NO_ACTIVE in codes:
        return NO_ACTIVE
    return max(codes)


def _code(seen: RoleSeen) -> int:
    leader = seen.snapshot.leader
    if leader is None or leader.position != "active" or seen.stale(leader):
        return NO_ACTIVE
    able = any(seen.ready(one) is not False for one in seen.snapshot.standbys)
    return 0 if able else NO_READY_STANDBY


def as_table(seen: Sequence[RoleSeen], meta_root: str, now_ms: int) -> str:
    """One line an instance, then one for each thing worth knowing, both beginning with the role."""
    if not any(one.snapshot.exists for one in seen):
        roles = ", ".join(one.role for one in seen) or "coordinator"
        return f"no {roles} has registered below {meta_root}/session\n"
    rows, notes = rows_of(seen), notes_of(seen, now_ms)
    lines = table(HEAD, rows, right=NUMBERS) if rows else []
    return "\n".join([*lines, *([""] if lines and notes else []), *notes]) + "\n"


def rows_of(seen: Sequence[RoleSeen]) -> list[tuple[str, ...]]:
    """A row of `HEAD` for each instance, those that lead first."""
    return [_row(role, one) for role in seen for one in _in_order(role.snapshot)]


def notes_of(seen: Sequence[RoleSeen], now_ms: int) -> list[str]:
    """What is worth knowing, a line each that begins with the role."""
    return [f"{role.role}  {printable(text)}" for role in seen for text in _notes(role, now_ms)]


def _in_order(snapshot: RoleSnapshot) -> list[Instance]:
    return sorted(snapshot.instances, key=lambda one: (not one.leads, one.server_id))


def _row(seen: RoleSeen, one: Instance) -> tuple[str, ...]:
    ready = "-" if one.leads else {True: "yes", False: "no", None: "?"}[seen.ready(one)]
    status = one.status
    epoch = str(seen.snapshot.epoch) if one.leads else "-"
    head = (seen.role, one.position, ready, str(one.server_id), one.address or "-")
    if status is None:
        lease, version = _lease_left(seen.leases.get(one.server_id)), _version(one)
        return (*head, "-", epoch, lease, "-", "-", version)
    silent_s = seen.silent_s.get(one.server_id, 0.0)
    serve = "-" if status.serve_age_ms is None else span(status.serve_age_ms / 1000 + silent_s)
    return (
        *head,
        _management(one.address, status.management),
        epoch,
        span(status.lease_age_ms / 1000 + silent_s),
        serve,
        "?" if status.behind is None else str(status.behind),
        _version(one),
    )


def _version(one: Instance) -> str:
    if not one.ours:
        return f"Go {one.version}"
    return one.status.version if one.status else "ours"


def _management(address: str, management: str) -> str:
    """The port alone where the host is the same."""
    host, _, port = management.rpartition(":")
    if not management:
        return "-"
    return f":{port}" if host == address.rpartition(":")[0] else management


def _since_ms(snapshot: RoleSnapshot) -> int | None:
    """Unix time at which the leader won the active key, by its clock; None for Go's."""
    entry = snapshot.takeover(snapshot.epoch)
    return entry.at_ms if entry else None


def _lease_left(lease: LeaseStatus | None) -> str:
    if lease is None or lease.ttl_s < 0:
        return "gone"
    return f"{lease.ttl_s} s left"


def _notes(seen: RoleSeen, now_ms: int) -> list[str]:
    snapshot = seen.snapshot
    notes = []
    if snapshot.active is None:
        notes.append("nobody leads")
    elif snapshot.holder is None:
        notes.append("nobody leads: the active's key holds no session")
    elif not snapshot.standbys:
        notes.append("there is no standby")
    if (leader := snapshot.leader) and (since_ms := _since_ms(snapshot)) is not None:
        ago = span((now_ms - since_ms) / 1000)
        notes.append(f"{leader.server_id} leads since {local_time(since_ms)} ({ago} ago)")
    if (pause := snapshot.pause) is not None:
        notes.append(f"paused {described(pause, now_ms)}")
    if (request := snapshot.request) is not None:
        target = f"to {request.to}" if request.to else "to any standby"
        notes.append(f"switchover {target} asked for by {request.by}: {request.state.value}")
    for address, ids in snapshot.sharing_address.items():
        names = " and ".join(map(str, ids))
        notes.append(f"{names} are both at {address}: only one of them can lead")
    for one in _in_order(snapshot):
        notes += [f"{one.server_id} {text}" for text in _instance_notes(seen, one)]
    return [*notes, *snapshot.unreadable]


def _instance_notes(seen: RoleSeen, one: Instance) -> list[str]:
    notes = []
    if seen.stale(one):
        silent = span(seen.silent_s[one.server_id])
        notes.append(f"is stale: nothing heard for {silent} or longer, but its lease lives")
    if one.ours and one.status is None:
        notes.append("is ours, but there is no readable status of it")
    if one.position == "deposed":
        notes.append("says that it is active, but the active's key is not its")
    if one.status is not None and one.status.why:
        trouble = "leads, but" if one.leads else "is not ready:"
        notes.append(f"{trouble} {', '.join(one.status.why)}")
    return notes


def essence(seen: Sequence[RoleSeen]) -> object:
    """What of a picture is news: not the ages, the revisions and the leases."""
    return [
        (
            one.role,
            one.snapshot.epoch,
            one.snapshot.pause,
            one.snapshot.request,
            one.snapshot.unreadable,
            [
                (i.server_id, i.position, seen_stale, one.ready(i), i.status and i.status.why)
                for i in one.snapshot.instances
                for seen_stale in (one.stale(i),)
            ],
        )
        for one in seen
    ]


def facts_of(seen: Sequence[RoleSeen], meta_root: str) -> dict[str, Any]:
    """The same picture for programs: `meta_root`, `exit_code`, `roles`."""
    return {
        "meta_root": meta_root,
        "exit_code": exit_code(seen),
        "roles": [_role(one) for one in seen],
    }


def _role(seen: RoleSeen) -> dict[str, Any]:
    snapshot = seen.snapshot
    request = snapshot.request
    return {
        "role": seen.role,
        "exit_code": _code(seen),
        "active": snapshot.holder.server_id if snapshot.holder else None,
        "epoch": snapshot.epoch or None,
        "active_since_ms": _since_ms(snapshot),
        "paused": asdict(snapshot.pause) if snapshot.pause else None,
        "switchover": {**asdict(request), "state": request.state.value} if request else None,
        "instances": [_instance(seen, one) for one in _in_order(snapshot)],
        "unreadable": snapshot.unreadable,
    }


def _instance(seen: RoleSeen, one: Instance) -> dict[str, Any]:
    lease, status = seen.leases.get(one.server_id), one.status
    return {
        "server_id": one.server_id,
        "address": one.address,
        "position": one.position,
        "leads": one.leads,
        "ready": None if one.leads else seen.ready(one),
        "ours": one.ours,
        "session_version": one.version,
        "registered": one.registered,
        "lease": f"{one.lease:x}",
        "lease_left_s": lease.ttl_s if lease else None,
        "stale": seen.stale(one),
        "silent_s": seen.silent_s.get(one.server_id),
        "status": {**asdict(status), "phase": status.phase.value} if status else None,
    }
