"""`milvus status`: the picture of a pair, what is printed of it, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from milvus_coord.cli.ha_status_show import RoleSeen, as_table, essence, exit_code, facts_of, see
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.etcd.values import LeaseStatus
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import Pause, SwitchoverRequest
from milvus_coord.ha.pair.role_follower import STALE_S, RoleFollower
from milvus_coord.ha.pair.role_snapshot import UNREADABLE_PAUSE
from milvus_coord.ha.pair.snapshot_reducer import read_role
from milvus_coord.model.states import Phase
from milvus_coord.runtime.clock import ManualClock
from testing.fake_pair import META_ROOT, FakeInstance, fake_pair, status_of

NOW_MS = 1_700_000_100_000
KEYS = Keys(META_ROOT, "rootcoord")


@pytest.fixture
def etcd() -> MemoryEtcd:
    return MemoryEtcd(ManualClock())


async def seen(etcd: MemoryEtcd, silent_s: Mapping[int, float] | None = None) -> RoleSeen:
    return RoleSeen("rootcoord", await read_role(etcd, KEYS), silent_s or {})


async def shown(etcd: MemoryEtcd, silent_s: Mapping[int, float] | None = None) -> list[str]:
    return as_table([await seen(etcd, silent_s)], META_ROOT, NOW_MS).splitlines()


async def write(etcd: MemoryEtcd, key: bytes, value: bytes) -> None:
    await etcd.txn(Txn((), (put(key, value),)))


async def test_a_fit_pair(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    head, first, second, _, since = await shown(etcd)
    assert head.split() == [
        *("ROLE", "POSITION", "READY", "ID", "ADDRESS", "HTTP"),
        *("EPOCH", "LEASE", "SERVE", "BEHIND", "VERSION"),
    ]
    assert " ".join(first.split()) == (
        "rootcoord active - 7 127.0.0.1:53107 :9107 6 0.3 s 0.0 s 0 0.1.0"
    )
    assert " ".join(second.split()) == (
        "rootcoord standby yes 8 127.0.0.1:53108 :9108 - 0.3 s - 0 0.1.0"
    )
    assert since.startswith("rootcoord  7 leads since ")
    for column in ("READY", "ADDRESS", "LEASE", "VERSION"):
        start = head.index(column)
        assert all(line[start - 1] == " " != line[start] for line in (first, second))
    assert exit_code([await seen(etcd)]) == 0


async def test_nothing_there(etcd: MemoryEtcd) -> None:
    assert await shown(etcd) == ["no rootcoord has registered below by-dev/meta/session"]
    assert exit_code([await seen(etcd)]) == 3
    assert exit_code([]) == 3


async def test_nobody_leads(etcd: MemoryEtcd) -> None:
    a, _ = await fake_pair(etcd)
    await a.leave()
    lines = await shown(etcd)
    assert lines[-1] == "rootcoord  nobody leads"
    assert exit_code([await seen(etcd)]) == 3


async def test_an_unready_standby_says_why(etcd: MemoryEtcd) -> None:
    _, b = await fake_pair(etcd)
    await b.say(ready=False, why=("mirror is not synced",), behind=None)
    lines = await shown(etcd)
    assert lines[2].split()[:4] == ["rootcoord", "standby", "no", "8"]
    assert lines[2].split()[-2] == "?"
    assert lines[-1] == "rootcoord  8 is not ready: mirror is not synced"
    assert exit_code([await seen(etcd)]) == 4


async def test_a_stale_standby_is_not_ready(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    lines = await shown(etcd, {7: 0.1, 8: 3.0})
    assert lines[2].split()[2] == "no"
    assert lines[-1] == (
        "rootcoord  8 is stale: nothing heard for 3.0 s or longer, but its lease lives"
    )
    assert exit_code([await seen(etcd, {8: 3.0})]) == 4


async def test_a_stale_leader_leads_nobody(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    assert exit_code([await seen(etcd, {7: STALE_S})]) == 3


@pytest.mark.parametrize("phase", [Phase.ACTIVATING, Phase.STEPPING_DOWN])
async def test_a_leader_on_the_way(etcd: MemoryEtcd, phase: Phase) -> None:
    a, _ = await fake_pair(etcd)
    await a.say(phase=phase)
    assert (await shown(etcd))[1].split()[1] == phase.value
    assert exit_code([await seen(etcd)]) == 3


async def test_a_deposed_one_is_called_so(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    await b.lead(former=a)
    lines = await shown(etcd)
    assert [line.split()[1] for line in lines[1:3]] == ["active", "deposed"]
    assert "rootcoord  7 says that it is active, but the active's key is not its" in lines


async def test_go_has_no_status_but_a_lease(etcd: MemoryEtcd) -> None:
    go = [FakeInstance(etcd, KEYS, status_of(number), ours=False) for number in (3, 4)]
    for one in go:
        await one.join()
    await go[0].lead()
    follower = RoleFollower(etcd, etcd.clock, META_ROOT, ("rootcoord",))
    snapshot = await read_role(etcd, KEYS)
    assert (await see(etcd, follower, "rootcoord")).leases == {}, "nothing read, nothing to ask"
    now = RoleSeen("rootcoord", snapshot, {}, {3: LeaseStatus(12, 20), 4: LeaseStatus(-1, 0)})
    lines = as_table([now], META_ROOT, NOW_MS).splitlines()
    assert lines[1].endswith("12 s left  -           -  Go 2.2.16")
    assert " ? " in lines[2]
    assert " gone " in lines[2]
    assert exit_code([now]) == 0


async def test_pause_and_request_are_shown(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    await write(etcd, KEYS.paused, Pause("ann@here", NOW_MS - 120_000, "moving").encode())
    await write(etcd, KEYS.switchover, SwitchoverRequest("n", 6, 8, "bob@there").encode())
    text = "\n".join(await shown(etcd))
    assert "rootcoord  paused by ann@here since 20" in text
    assert "(2 min ago): moving" in text
    assert "rootcoord  switchover to 8 asked for by bob@there: asked" in text


async def test_an_unreadable_pause_is_a_pause(etcd: MemoryEtcd) -> None:
    await write(etcd, KEYS.paused, b"[]")
    assert (await read_role(etcd, KEYS)).pause == UNREADABLE_PAUSE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (KEYS.active, b"junk"),
        (KEYS.instance(9), b"{"),
        (KEYS.instance(9), b'{"ServerID":4,"ServerName":"rootcoord","Address":"a:1"}'),
        (KEYS.active + b"-x", b"junk"),
        (KEYS.status(9), b"{}"),
        (KEYS.takeover(3), b"null"),
        (KEYS.paused, b""),
        (KEYS.switchover, b"\xff"),
    ],
)
async def test_junk_is_named_and_harms_nothing(etcd: MemoryEtcd, key: bytes, value: bytes) -> None:
    await fake_pair(etcd)
    await write(etcd, key, value)
    snapshot = await read_role(etcd, KEYS)
    assert len(snapshot.unreadable) == 1
    assert key.decode() in snapshot.unreadable[0]
    assert {one.server_id for one in snapshot.instances} == {7, 8}


async def test_other_roles_and_nodes_are_passed_over(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd, "rootcoord")
    other = FakeInstance(etcd, Keys(META_ROOT, "datacoord"), status_of(3))
    await other.join()
    assert {one.server_id for one in (await read_role(etcd, KEYS)).instances} == {7, 8}


async def test_what_was_deleted_by_hand(etcd: MemoryEtcd) -> None:
    _, b = await fake_pair(etcd)
    await etcd.txn(Txn((), (delete(KEYS.instance(8)),)))
    left = (await read_role(etcd, KEYS)).instance(8)
    assert left is not None
    assert (left.registered, left.position, left.lease) == (False, "standby", b.lease)


async def test_without_pairs_there_is_no_instance_key(etcd: MemoryEtcd) -> None:
    alone = FakeInstance(etcd, KEYS, status_of(5), lease=(await etcd.lease_grant(20)).id)
    await alone.lead()
    (one,) = (await read_role(etcd, KEYS)).instances
    assert (one.server_id, one.leads, one.registered) == (5, True, False)
    assert exit_code([await seen(etcd)]) == 4


async def test_json(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    report = json.loads(json.dumps(facts_of([await seen(etcd, {7: 0.2, 8: 0.3})], META_ROOT)))
    assert report["exit_code"] == 0
    (role,) = report["roles"]
    assert (role["active"], role["epoch"], role["paused"]) == (7, 6, None)
    a, b = role["instances"]
    assert (a["leads"], a["ready"], b["ready"], b["silent_s"]) == (True, None, True, 0.3)
    assert b["status"]["phase"] == "standby"


async def test_ages_are_no_news_but_readiness_is(etcd: MemoryEtcd) -> None:
    _, b = await fake_pair(etcd)
    first = essence([await seen(etcd)])
    await b.say(lease_age_ms=900, revision=70)
    assert essence([await seen(etcd)]) == first
    await b.say(ready=False)
    assert essence([await seen(etcd)]) != first


async def test_nothing_moves_the_cursor(etcd: MemoryEtcd) -> None:
    _, b = await fake_pair(etcd)
    await b.say(ready=False, why=("\x1b[2J",), version="\x1b]0;")
    assert "\x1b" not in "\n".join(await shown(etcd))


async def test_the_table_fits_into_100_columns(etcd: MemoryEtcd) -> None:
    there = {"address": "192.168.10.101:53100", "management": "192.168.10.101:9091"}
    pair = [FakeInstance(etcd, KEYS, status_of(number, **there)) for number in (123, 124)]
    for one in pair:
        await one.join()
    await pair[0].lead()
    assert max(map(len, await shown(etcd))) <= 100
