"""`milvus doctor`: what may be wrong with etcd and with the clocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from milvus_coord.cli.doctor_facts import EtcdFacts, Latency
from milvus_coord.cli.doctor_finding import Finding, bad, ok, warn
from milvus_coord.cli.format import local_time, millis, span
from milvus_coord.etcd.values import MemberStatus

DEFAULT_QUOTA_BYTES: Final = 2 << 30
_FULL: Final = 0.8
_RENEWALS_PER_TTL: Final = 3
_SAVE_AHEAD_S: Final = 3.0
_CLOCK_SLACK_S: Final = 2.0
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """The times that etcd must be quick enough for, of this process' settings."""

    session_ttl_s: float
    serve_lease_s: float
    challenge_timeout_s: float


def findings(facts: EtcdFacts, bounds: Bounds, *, ticking: bool) -> Iterator[Finding]:
    """All that is to be said of etcd; `ticking`: a rootcoord leads, so the stored bound moves."""
    yield from _reachable(facts.members)
    yield from _one_cluster(facts.members)
    yield from _size(facts)
    yield from _leader(facts.members)
    for right in facts.denied:
        advice = f"etcdctl role grant-permission ROLE {right}"
        yield bad("etcd rights", f"a coordinator needs, and this user lacks: {right}", advice)
    for member in _answering(facts.members):
        yield _version(member)
        yield _room(member)
        yield from _alarms(member)
    yield _reads(facts.reads, bounds)
    yield _renewals(facts.renewals, bounds)
    yield _clock(facts, ticking=ticking)


def _answering(members: Sequence[MemberStatus]) -> list[MemberStatus]:
    return [member for member in members if not member.error]


def _reachable(members: Sequence[MemberStatus]) -> Iterator[Finding]:
    for member in members:
        if member.error:
            yield warn(
                f"etcd {member.endpoint}",
                f"does not answer: {member.error}",
                "start it, or take it out of etcd.endpoints",
            )
    answering = _answering(members)
    if answering:
        yield ok("etcd endpoints", f"{len(answering)} of {len(members)} answer")


def _one_cluster(members: Sequence[MemberStatus]) -> Iterator[Finding]:
    clusters: dict[int, list[str]] = {}
    for member in _answering(members):
        clusters.setdefault(member.cluster_id, []).append(member.endpoint)
    if len(clusters) > 1:
        shares = [f"{', '.join(each)} of {cluster:x}" for cluster, each in clusters.items()]
        yield bad(
            "etcd endpoints",
            f"belong to {len(clusters)} clusters: {'; '.join(shares)}",
            "leave the members of one cluster in etcd.endpoints, or mend a foreign data folder",
        )


def _size(facts: EtcdFacts) -> Iterator[Finding]:
    cluster = facts.cluster
    voting = [member for member in cluster if not member.is_learner]
    if not cluster:
        yield warn("etcd size", "etcd did not list its members", "look with etcdctl member list")
        return
    count = len(voting)
    names = ", ".join(sorted(member.name or "(never started)" for member in cluster))
    if count == 1:
        yield warn("etcd size", "one member: etcd ends with its machine", "use three members")
    elif count % 2 == 0:
        yield warn(
            "etcd size",
            f"{count} members ({names}) survive no more losses than {count - 1}",
            f"use {count + 1} or {count - 1}",
        )
    else:
        yield ok("etcd size", f"{count} members ({names}) survive the loss of {count // 2}")
    if len(facts.members) < count:
        yield warn(
            "etcd endpoints",
            f"{len(facts.members)} configured, but the cluster has {count} members",
            "name all of them in etcd.endpoints",
        )


def _leader(members: Sequence[MemberStatus]) -> Iterator[Finding]:
    for member in _answering(members):
        if not member.has_leader:
            yield bad(
                f"etcd {member.endpoint}",
                "has no leader: it takes no writes",
                "bring back a majority of the members",
            )
    if leading := [member.endpoint for member in members if member.is_leader]:
        yield ok("etcd leader", ", ".join(leading))


def _version(member: MemberStatus) -> Finding:
    what, version = f"etcd {member.endpoint}", member.version
    upgrade = "use 3.5.28 or newer of 3.5, or 3.6.9 or newer of 3.6"
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return warn(what, f"version {version!r} is not known here", upgrade)
    major, minor, patch = map(int, found.groups())
    if (major, minor) == (3, 5):
        if patch <= 2:
            return bad(what, f"{version} can corrupt data under load (etcd#13766)", upgrade)
        if patch < 28:
            return warn(what, f"{version}: {_lease_bugs(patch)}", upgrade)
        return ok(what, version)
    if (major, minor) == (3, 6):
        if patch < 9:
            return warn(what, f"{version} may answer stale reads after a pause", upgrade)
        return ok(what, version)
    if (major, minor) < (3, 4):
        return bad(what, f"{version} is too old: nothing here was ever tried with it", upgrade)
    if (major, minor) == (3, 4):
        return warn(what, f"{version} works, but lacks later fixes of leases", upgrade)
    return ok(what, f"{version}, newer than what this version was tried with")


def _lease_bugs(patch: int) -> str:
    bugs = ["stale reads after a pause (etcd#20418)"]
    if patch < 23:
        bugs.append("renews revoked leases")
    if patch < 13:
        bugs.append("a former leader may revoke live leases")
    return ", ".join(bugs)


def _room(member: MemberStatus) -> Finding:
    what = f"etcd {member.endpoint}"
    quota = member.quota_bytes or DEFAULT_QUOTA_BYTES
    guess = "" if member.quota_bytes else ", if the quota is etcd's default"
    share = member.db_bytes / quota
    detail = f"{member.db_bytes / _MIB:.0f} of {quota / _MIB:.0f} MiB in use{guess}"
    if share >= _FULL:
        return warn(what, detail, "compact and defragment, or raise --quota-backend-bytes")
    return ok(what, detail)


def _alarms(member: MemberStatus) -> Iterator[Finding]:
    advice = {
        "NOSPACE": "compact, defragment, then etcdctl alarm disarm: etcd refuses all writes",
        "CORRUPT": "replace this member: its data differs from the others'",
    }
    for alarm in member.alarms:
        yield bad(f"etcd {member.endpoint}", f"alarm {alarm}", advice.get(alarm, "see etcd's log"))


def _reads(reads: Latency, bounds: Bounds) -> Finding:
    what = "etcd reads"
    if reads.error:
        return bad(what, reads.error, "nobody can lead without them")
    detail = f"p50 {millis(reads.p50_ms)} ms, max {millis(reads.max_ms)} ms of 20"
    serve_ms, challenge_ms = bounds.serve_lease_s * 1000, bounds.challenge_timeout_s * 1000
    if reads.max_ms > serve_ms / 2:
        advice = "faster disks or network for etcd, or a longer ha.serveLease"
        return bad(what, f"{detail}: the serve lease of {serve_ms:.0f} ms would lapse", advice)
    if reads.max_ms > challenge_ms / 3:
        advice = "faster disks or network for etcd, or a longer ha.challengeTimeout"
        return warn(what, f"{detail}: long for a challenge of {challenge_ms:.0f} ms", advice)
    return ok(what, f"{detail} (serve lease {serve_ms:.0f}, challenge {challenge_ms:.0f} ms)")


def _renewals(renewals: Latency, bounds: Bounds) -> Finding:
    what = "etcd keep-alives"
    if renewals.error:
        return bad(what, renewals.error, "no session lives without them")
    detail = f"p50 {millis(renewals.p50_ms)} ms, max {millis(renewals.max_ms)} ms of 20"
    ttl_s = bounds.session_ttl_s
    if renewals.max_ms > ttl_s * 1000 / _RENEWALS_PER_TTL / 2:
        return bad(
            what,
            f"{detail}: too slow for a session TTL of {ttl_s:g} s",
            "faster disks or network for etcd, or a longer common.session.ttl",
        )
    return ok(what, f"{detail} (session TTL {ttl_s:g} s)")


def _clock(facts: EtcdFacts, *, ticking: bool) -> Finding:
    """Our clock against the stored bound of timestamps.

    The bound is saved 3 s ahead of the rootcoord's clock, by Go and by ours, and moved on before
    that clock gets there.
    """
    what, advice = "clock", "let NTP keep the clocks of all machines"
    if facts.bound_error:
        return bad(what, facts.bound_error, "no rootcoord can start with it")
    if not facts.bound_ns:
        return ok(what, "no timestamp has ever been handed out to compare with")
    ahead_s = (facts.bound_ns - facts.wall_ns) / 1e9
    stamp = local_time(facts.bound_ns // 1_000_000)
    if ahead_s > _SAVE_AHEAD_S + _CLOCK_SLACK_S:
        late = span(ahead_s - _SAVE_AHEAD_S)
        detail = f"timestamps stand {late} ahead of this machine's clock (up to {stamp})"
        return warn(what, detail, advice)
    if ticking and ahead_s < -_CLOCK_SLACK_S:
        detail = f"the leading rootcoord's timestamps end {span(-ahead_s)} ago by our clock"
        return warn(what, detail, f"{advice}; or it hands out none")
    return ok(what, f"agrees with the timestamps handed out (up to {stamp})")
