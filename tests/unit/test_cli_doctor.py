"""`milvus doctor`: what it makes of what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from milvus_coord.cli import doctor_dial, doctor_etcd, doctor_pair
from milvus_coord.cli.doctor import exit_code
from milvus_coord.cli.doctor_dial import Dialled
from milvus_coord.cli.doctor_facts import EtcdFacts, Latency, denied_rights
from milvus_coord.cli.doctor_finding import Finding, Grade, bad, ok, warn
from milvus_coord.cli.ha_status_show import RoleSeen
from milvus_coord.config import load
from milvus_coord.etcd.errors import PermissionDenied
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.etcd.values import ClusterMember, MemberStatus
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import Pause
from milvus_coord.ha.pair.snapshot_reducer import read_role
from milvus_coord.model.states import Phase
from milvus_coord.runtime.clock import ManualClock
from testing.fake_pair import META_ROOT, FakeInstance, fake_pair, status_of

NOW_NS = 1_700_000_000_000_000_000
S = 1_000_000_000
KEYS = Keys(META_ROOT, "rootcoord")
BOUNDS = doctor_etcd.Bounds(session_ttl_s=20, serve_lease_s=1.0, challenge_timeout_s=0.3)
FIT = MemberStatus("a:2379", "3.5.28", is_leader=True, has_leader=True, db_bytes=1 << 20)
FACTS = EtcdFacts(
    members=(FIT, *(replace(FIT, endpoint=f"{name}:2379", is_leader=False) for name in "bc")),
    cluster=tuple(ClusterMember(name, (f"http://{name}:2379",)) for name in "abc"),
    reads=Latency(0.5, 2.0),
    renewals=Latency(0.5, 2.0),
    bound_ns=NOW_NS + 2 * S,
    bound_error="",
    wall_ns=NOW_NS,
)


def test_rights_that_a_mirror_needs() -> None:
    denied = replace(FACTS, denied=("read by-dev/meta/ha/rootcoord/ by-dev/meta/root-coord0",))
    assert [(grade, "root-coord0" in text) for grade, text in trouble(denied)] == [
        (Grade.BAD, True)
    ]


async def test_rights_are_asked_for_all_that_coordinators_read_and_write() -> None:
    settings = load("rootcoord", config=None, environ={}).settings
    etcd = MemoryEtcd(ManualClock())
    assert await denied_rights(etcd, settings) == ()
    etcd.fail_next("txn", PermissionDenied("no"))
    assert await denied_rights(etcd, settings) == ("readwrite --prefix=true by-dev/meta/session/",)


def trouble(facts: EtcdFacts, *, ticking: bool = True) -> list[tuple[Grade, str]]:
    found = doctor_etcd.findings(facts, BOUNDS, ticking=ticking)
    return [(one.grade, one.detail) for one in found if one.grade is not Grade.OK]


def test_a_fit_etcd() -> None:
    assert trouble(FACTS) == []


@pytest.mark.parametrize(
    ("change", "grade", "text"),
    [
        ({"error": "refused"}, Grade.WARN, "does not answer: refused"),
        ({"has_leader": False}, Grade.BAD, "no leader"),
        ({"alarms": ("NOSPACE",)}, Grade.BAD, "alarm NOSPACE"),
        ({"alarms": ("CORRUPT",)}, Grade.BAD, "alarm CORRUPT"),
        ({"db_bytes": 1700 << 20}, Grade.WARN, "1700 of 2048 MiB in use, if the quota is"),
        ({"db_bytes": 95, "quota_bytes": 100}, Grade.WARN, "0 of 0 MiB in use"),
        ({"version": "3.5.1"}, Grade.BAD, "can corrupt data"),
        ({"version": "3.5.12"}, Grade.WARN, "a former leader may revoke live leases"),
        ({"version": "3.5.20"}, Grade.WARN, "renews revoked leases"),
        ({"version": "3.5.27"}, Grade.WARN, "stale reads"),
        ({"version": "3.6.8"}, Grade.WARN, "stale reads"),
        ({"version": "3.4.30"}, Grade.WARN, "lacks later fixes"),
        ({"version": "3.3.1"}, Grade.BAD, "too old"),
        ({"version": "main"}, Grade.WARN, "not known"),
    ],
)
def test_a_member_in_trouble(change: dict[str, object], grade: Grade, text: str) -> None:
    member = replace(FACTS.members[1], **change)  # type: ignore[arg-type]  # as parametrized
    ((found, detail),) = trouble(replace(FACTS, members=(FIT, member, FACTS.members[2])))
    assert found is grade
    assert text in detail


def test_two_clusters_in_one_list() -> None:
    ours, other = replace(FIT, cluster_id=0xA), replace(FIT, endpoint="b:2379", cluster_id=0xB)
    down = MemberStatus("c:2379", error="refused")
    found = trouble(replace(FACTS, members=(ours, other, down)))
    assert (Grade.BAD, "belong to 2 clusters: a:2379 of a; b:2379 of b") in found


@pytest.mark.parametrize("version", ["3.5.28", "3.6.9", "3.7.0", "4.0.0"])
def test_versions_that_are_fine(version: str) -> None:
    assert trouble(replace(FACTS, members=(replace(FIT, version=version),) * 3)) == []


@pytest.mark.parametrize(
    ("names", "text"),
    [("", "did not list"), ("a", "one member"), ("ab", "2 members (a, b) survive no more losses")],
)
def test_sizes(names: str, text: str) -> None:
    cluster = tuple(ClusterMember(name, ()) for name in names)
    ((grade, detail),) = trouble(replace(FACTS, cluster=cluster))
    assert grade is Grade.WARN
    assert text in detail


def test_learners_do_not_vote_and_all_members_should_be_named() -> None:
    cluster = (*FACTS.cluster, ClusterMember("d", (), is_learner=True))
    assert trouble(replace(FACTS, cluster=cluster)) == []
    ((_, detail),) = trouble(replace(FACTS, members=(FIT,)))
    assert detail == "1 configured, but the cluster has 3 members"


@pytest.mark.parametrize(
    ("reads", "renewals", "grade"),
    [
        (Latency(1, 120), Latency(), Grade.WARN),
        (Latency(1, 600), Latency(), Grade.BAD),
        (Latency(error="no answer"), Latency(), Grade.BAD),
        (Latency(), Latency(1, 3500), Grade.BAD),
        (Latency(), Latency(error="no answer"), Grade.BAD),
    ],
)
def test_slow_calls(reads: Latency, renewals: Latency, grade: Grade) -> None:
    assert [one for one, _ in trouble(replace(FACTS, reads=reads, renewals=renewals))] == [grade]


@pytest.mark.parametrize(
    ("ahead_s", "ticking", "text"),
    [
        (2.9, True, None),
        (-1.0, True, None),
        (-3600, False, None),
        (65, True, "timestamps stand 1 min ahead of this machine's clock"),
        (65, False, "timestamps stand 1 min ahead of this machine's clock"),
        (-30, True, "the leading rootcoord's timestamps end 30 s ago by our clock"),
    ],
)
def test_clocks(ahead_s: float, ticking: bool, text: str | None) -> None:
    found = trouble(replace(FACTS, bound_ns=NOW_NS + round(ahead_s * S)), ticking=ticking)
    assert [detail[: len(text or "")] for _, detail in found] == ([text] if text else [])


def test_a_bound_that_is_none() -> None:
    assert trouble(replace(FACTS, bound_ns=0)) == []
    assert trouble(replace(FACTS, bound_error="it holds b'x'")) == [(Grade.BAD, "it holds b'x'")]


@pytest.fixture
def etcd() -> MemoryEtcd:
    return MemoryEtcd(ManualClock())


async def statuses_fresh(
    etcd: MemoryEtcd, silent_s: dict[int, float] | None = None
) -> list[Finding]:
    seen = RoleSeen("rootcoord", await read_role(etcd, KEYS), silent_s or {})
    found = doctor_pair.findings(seen, NOW_NS // 1_000_000, session_ttl_s=20)
    return [one for one in found if one.grade is not Grade.OK]


def details(found: Sequence[Finding]) -> str:
    return "\n".join(f"{one.grade.value} {one.detail}" for one in found)


async def test_a_fit_pair(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    assert await statuses_fresh(etcd) == []


async def test_an_unready_and_a_stale_standby(etcd: MemoryEtcd) -> None:
    _, b = await fake_pair(etcd)
    await b.say(ready=False, why=("mirror is not synced",))
    assert details(await statuses_fresh(etcd)) == (
        "warn standby 8 (127.0.0.1:53108) is not ready: mirror is not synced"
    )
    assert details(await statuses_fresh(etcd, {8: 4.0})) == (
        "warn 8 (127.0.0.1:53108) is stale: nothing heard for 4.0 s or longer, but its lease lives"
    )


async def test_alone(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    await b.leave()
    assert details(await statuses_fresh(etcd)) == "warn there is no standby: nobody takes over"
    await a.leave()
    assert details(await statuses_fresh(etcd)).startswith("bad nobody leads\n")


async def test_two_at_one_address(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    twin = FakeInstance(etcd, KEYS, status_of(9, address=b.status.address))
    await twin.join()
    assert details(await statuses_fresh(etcd)).startswith(
        "warn 8 and 9 are both at 127.0.0.1:53108"
    )
    assert a.status.address != b.status.address


async def test_the_actives_key_on_another_lease(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    await etcd.txn(Txn((), (put(KEYS.active, a.record.encode(), b.lease),)))
    assert details(await statuses_fresh(etcd)).startswith("bad the active's key names 7")


async def test_junk(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    junk = (put(KEYS.active + b"-x", b""), put(KEYS.takeover(1), b""))
    await etcd.txn(Txn((), junk))
    assert sorted(one.grade.value for one in await statuses_fresh(etcd)) == ["bad", "warn"]


async def test_go_leads(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    go = FakeInstance(etcd, KEYS, status_of(3), ours=False)
    await go.join()
    await go.lead()
    found = details(await statuses_fresh(etcd))
    assert "warn the active, 3 (127.0.0.1:53103), is a Go coordinator" in found
    assert "warn 7 (127.0.0.1:53107) says that it is active" in found


async def test_smaller_troubles(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    await a.say(why=("etcd calls take 812 ms",))
    await b.say(lease_age_ms=15_000)
    text = details(await statuses_fresh(etcd))
    assert "bad 7 (127.0.0.1:53107) leads, but etcd calls take 812 ms" in text
    assert "warn 8 (127.0.0.1:53108) renewed its lease 15 s ago, of a TTL of 20 s" in text
    await a.say(phase=Phase.ACTIVATING, why=())
    await etcd.txn(Txn((), (delete(KEYS.instance(8)), put(KEYS.status(7), b"?", a.lease))))
    text = details(await statuses_fresh(etcd))
    assert "warn 7 (127.0.0.1:53107) says nothing of itself" in text
    assert "has a status, but no instance key" in text


async def test_a_long_pause(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    for hours, count in ((0.5, 0), (2, 1)):
        pause = Pause("ann", round(NOW_NS / 1e6 - hours * 3_600_000), "")
        await etcd.txn(Txn((), (put(KEYS.paused, pause.encode()),)))
        assert len(await statuses_fresh(etcd)) == count


def test_exit_codes() -> None:
    fine, odd, broken = ok("a", "b"), warn("a", "b", "c"), bad("a", "b", "c")
    assert [exit_code(found) for found in ([fine], [fine, odd], [odd, broken])] == [0, 4, 3]


async def test_addresses_that_cannot_be_dialled(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    await a.lead()
    seen = RoleSeen("rootcoord", await read_role(etcd, KEYS))
    refused, lost = Dialled("connection refused", refused=True), Dialled("no answer within 2 s")

    def grades(**dialled: Dialled) -> list[tuple[Grade, str]]:
        known = {one.status.address: dialled[name] for name, one in (("a", a), ("b", b))}
        found = doctor_dial.findings(seen, known)
        return [(one.grade, one.detail.rpartition(": ")[2]) for one in found]

    assert grades(a=Dialled(), b=refused) == [], "a standby of ours refuses"
    assert grades(a=refused, b=lost) == [
        (Grade.BAD, "connection refused"),
        (Grade.WARN, "no answer within 2 s"),
    ]
