"""`milvus doctor`: what may be wrong with the instances of a role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from milvus_coord.cli.doctor_finding import Finding, bad, ok, warn
from milvus_coord.cli.format import printable, span
from milvus_coord.cli.ha_pause import described
from milvus_coord.cli.ha_status_show import RoleSeen
from milvus_coord.ha.pair.role_snapshot import Instance

LONG_PAUSE_S: Final = 3600.0
_SLOW_LEASE: Final = 2 / 3


def findings(seen: RoleSeen, now_ms: int, session_ttl_s: float) -> Iterator[Finding]:
    """All that is to be said of one role that has keys in etcd."""
    yield from _keys(seen)
    yield _leader(seen)
    yield from _standbys(seen)
    yield from _same_address(seen)
    for one in seen.snapshot.instances:
        yield from _instance(seen, one, session_ttl_s)
    yield from _pause(seen, now_ms)


def _keys(seen: RoleSeen) -> Iterator[Finding]:
    for text in seen.snapshot.unreadable:
        if "/session/" in text:
            advice = "delete the key: Go clients of this role fail at what they cannot read"
            yield bad(seen.role, printable(text), advice)
        elif "/instance-" in text:
            advice = "its instance writes it each second: is that one another version?"
            yield warn(seen.role, printable(text), advice)
        else:
            yield warn(seen.role, printable(text), "delete the key")


def _leader(seen: RoleSeen) -> Finding:
    snapshot = seen.snapshot
    leader = snapshot.leader
    if snapshot.active is None:
        return bad(seen.role, "nobody leads", "start an instance, or look why none takes over")
    if leader is None:
        return bad(seen.role, "the active's key holds no session", "delete the key")
    name = f"{leader.server_id} ({leader.address})"
    if leader.registered and leader.lease != snapshot.active.lease:
        return bad(
            seen.role,
            f"the active's key names {name}, but hangs on another lease than its instance key",
            "stop that instance: it may not know whether it leads",
        )
    if not leader.ours:
        return warn(
            seen.role,
            f"the active, {name}, is a Go coordinator: its writes are not fenced, and after a "
            "crash its lease is waited for",
            "SIGTERM it while a standby of ours is ready",
        )
    if leader.position != "active":
        return warn(seen.role, f"{name} is {leader.position}", "wait, then look at its log")
    return ok(seen.role, f"{name} leads at epoch {snapshot.epoch}")


def _standbys(seen: RoleSeen) -> Iterator[Finding]:
    standbys = seen.snapshot.standbys
    if not standbys:
        yield warn(seen.role, "there is no standby: nobody takes over", "start a second instance")
        return
    for one in standbys:
        name = f"standby {one.server_id} ({one.address})"
        if not one.ours:
            yield ok(seen.role, f"{name} is a Go coordinator, which does not say how ready it is")
        elif one.status is not None and not seen.stale(one):
            why = ", ".join(one.status.why) or "it does not say why"
            if one.status.ready:
                yield ok(seen.role, f"{name} is ready")
            else:
                yield warn(seen.role, f"{name} is not ready: {why}", "look at its log")


def _same_address(seen: RoleSeen) -> Iterator[Finding]:
    for address, ids in seen.snapshot.sharing_address.items():
        names = " and ".join(map(str, ids))
        yield warn(
            seen.role,
            f"{names} are both at {address}: a restart whose former lease still lives, or "
            "one address given to two",
            "if it stays so, give each its own <role>.address",
        )


def _instance(seen: RoleSeen, one: Instance, session_ttl_s: float) -> Iterator[Finding]:
    name = f"{one.server_id} ({one.address})"
    if one.ours and one.status is None:
        yield warn(
            seen.role,
            f"{name} says nothing of itself",
            "is it an older version, or without enableActiveStandby?",
        )
    if seen.stale(one):
        yield warn(
            seen.role,
            f"{name} is stale: nothing heard for {span(seen.silent_s[one.server_id])} or longer, "
            "but its lease lives",
            "look whether the process is stuck, or cut off from etcd",
        )
    if one.status is not None and not one.registered and not one.leads:
        yield warn(
            seen.role, f"{name} has a status, but no instance key", "it puts the key back by itself"
        )
    if one.position == "deposed":
        yield warn(
            seen.role,
            f"{name} says that it is active, but the active's key is not its",
            "it finds out within the serve lease; if it stays so, stop it",
        )
    if one.status is not None and one.status.lease_age_ms / 1000 > session_ttl_s * _SLOW_LEASE:
        yield warn(
            seen.role,
            f"{name} renewed its lease {span(one.status.lease_age_ms / 1000)} ago, of a TTL of "
            f"{session_ttl_s:g} s",
            "look whether it reaches etcd",
        )
    if one.leads and one.status is not None and one.status.why:
        yield bad(seen.role, f"{name} leads, but {', '.join(one.status.why)}", "see its log")


def _pause(seen: RoleSeen, now_ms: int) -> Iterator[Finding]:
    pause = seen.snapshot.pause
    if pause is None:
        return
    text = f"paused {described(pause, now_ms)}"
    if (now_ms - pause.since_ms) / 1000 > LONG_PAUSE_S:
        yield warn(seen.role, text, f"milvus resume {seen.role}")
    else:
        yield ok(seen.role, text)
