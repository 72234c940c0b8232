"""The verbs as processes against a real etcd; the instances write what real ones would."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.ha.pair.operator_records import RequestState
from milvus_coord.ha.pair.takeover import Cause
from testing.cli import Said, milvus, start_milvus
from testing.etcd import EtcdCluster, EtcdMember
from testing.fake_pair import FakeInstance, fake_pair, saying
from tests.contract.etcd_helpers import connected

pytestmark = pytest.mark.etcd


@dataclass(frozen=True, slots=True)
class World:
    """A pair of fakes, 7 leads and 8 stands by, and the commands that are told of their etcd."""

    etcd: EtcdMember
    client: EtcdClient
    a: FakeInstance
    b: FakeInstance

    async def milvus(self, *words: str) -> Said:
        return await milvus(*words, etcd=self.etcd.endpoints)


@pytest.fixture
async def world(etcd: EtcdMember) -> AsyncIterator[World]:
    async with connected(etcd.endpoints) as client:
        a, b = await fake_pair(client)
        async with saying(a, b):
            yield World(etcd, client, a, b)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` runs meanwhile, and has ended at the end of the block."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work, name="beside")
        yield


async def hand_over(world: World, cause: Cause = Cause.SWITCHOVER) -> None:
    """What the active does with the next request."""
    async for kv, request in world.a.requests():
        assert request.to in {0, 8}
        await world.a.answer(kv, request, RequestState.ACCEPTED)
        await world.b.lead(cause, world.a, {"claim": 1.0, "serve": 7.5})
        await world.a.stand_by()
        return


async def test_status(world: World) -> None:
    said = await world.milvus("status")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[:4] for line in said.out.splitlines()[:3]] == [
        ["ROLE", "POSITION", "READY", "ID"],
        ["rootcoord", "active", "-", "7"],
        ["rootcoord", "standby", "yes", "8"],
    ]
    none = await world.milvus("status", "querycoord")
    assert (none.code, none.out) == (3, "no querycoord has registered below by-dev/meta/session\n")


async def test_status_tells_a_silent_standby_from_a_fit_one(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        a, _ = await fake_pair(client)
        async with saying(a):
            said = await milvus("status", "-o", "json", etcd=etcd.endpoints)
    (role,) = json.loads(said.out)["roles"]
    assert [one["stale"] for one in role["instances"]] == [False, True]
    assert said.code == role["exit_code"] == 4


async def test_watching_prints_what_changes_and_ends_with_0_by_ctrl_c(world: World) -> None:
    process = await start_milvus("status", "-w", "rootcoord", etcd=world.etcd.endpoints)
    assert process.stdout is not None
    seen: list[list[str]] = []

    async def reads(position: str, ready: str) -> None:
        """Until 8 is said to be so."""
        assert process.stdout is not None
        while (line := (await process.stdout.readline()).decode().split())[1:4] != [
            position,
            ready,
            "8",
        ]:
            seen.append(line)

    try:
        async with asyncio.timeout(20):
            await reads("standby", "yes")
            await world.b.say(ready=False, why=("mirror is not synced",))
            await reads("standby", "no")
            await world.b.say(ready=True, why=())
            await reads("standby", "yes")
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, err) == (0, b"")
    assert b"\x1b" not in out
    assert len(seen) < 15, "it prints ages that nobody asked for"


async def test_pause_and_resume(world: World) -> None:
    said = [
        await world.milvus(*words)
        for words in (
            ("pause", "rootcoord", "--reason", "moving hosts"),
            ("pause", "rootcoord", "--reason", "again"),
            ("switchover", "rootcoord"),
            ("resume", "rootcoord"),
            ("resume", "rootcoord"),
        )
    ]
    assert [one.code for one in said] == [0, 0, 3, 0, 0]
    assert said[0].out.startswith("rootcoord is paused: no early replacement and no switchover")
    assert said[1].out.startswith("rootcoord is paused already: by ")
    assert said[1].out.endswith("moving hosts\n")
    assert "it is paused by" in said[2].err
    assert said[3].out.startswith("rootcoord is resumed; it was paused by ")
    assert said[4].out == "rootcoord is not paused\n"


async def test_switchover(world: World) -> None:
    async with beside(hand_over(world)):
        said = await world.milvus("switchover", "rootcoord", "--to", "8")
    assert (said.code, said.err) == (0, "")
    first, second, before, after = said.out.splitlines()
    assert first == ("rootcoord: 8 (127.0.0.1:53108) leads, 7 (127.0.0.1:53107) has handed over")
    assert "took 8.5 ms (claim 1.0, serve 7.5); " in second
    assert before == "before: 7 (127.0.0.1:53107) active, 8 (127.0.0.1:53108) standby"
    assert after.startswith("after:  7 (127.0.0.1:53107) ")
    assert after.endswith(", 8 (127.0.0.1:53108) active")
    left = await world.client.get(world.a.keys.switchover)
    assert left.kv is None, "the request is left behind"
    history = await world.milvus("history", "rootcoord")
    assert [line.split()[5] for line in history.out.splitlines()[1:]] == ["8", "7"]
    assert "switchover" in history.out


async def test_switchover_for_programs(world: World) -> None:
    async with beside(hand_over(world)):
        said = await world.milvus(
            *("switchover", "rootcoord", "--from", "7", "--reason", "moving", "-o", "yaml")
        )
    facts = yaml.safe_load(said.out)
    assert (facts["from"], facts["to"], facts["cause"], facts["phases"]) == (
        *(7, 8, "switchover"),
        {"claim": 1.0, "serve": 7.5},
    )
    assert [one["server_id"] for one in facts["before"]] == [7, 8]


async def test_a_rehearsal_asks_nobody(world: World) -> None:
    said = await world.milvus("switchover", "rootcoord", "--dry-run")
    assert (said.code, said.out) == (
        0,
        "rootcoord: 7 (127.0.0.1:53107) would hand over to 8 (127.0.0.1:53108); "
        "nothing was asked\n",
    )
    other = await world.milvus("switchover", "rootcoord", "--dry-run", "--from", "8")
    assert (other.code, other.err) == (
        3,
        "milvus: rootcoord is not switched over: 7 (127.0.0.1:53107) leads, not 8\n",
    )
    assert (await world.client.get(world.a.keys.switchover)).kv is None


async def test_nobody_registered_is_asked_for_nothing(world: World) -> None:
    text = "milvus: no querycoord has registered below by-dev/meta/session\n"
    for verb in ("pause", "resume"):
        said = await world.milvus(verb, "querycoord")
        assert (said.code, said.out, said.err) == (3, "", text)
    said = await world.milvus("switchover", "querycoord")
    assert (said.code, said.err) == (
        3,
        "milvus: querycoord is not switched over: nobody has registered\n",
    )
    assert (await world.client.get(b"by-dev/meta/ha/querycoord/paused")).kv is None


async def test_a_pause_with_an_end_hangs_on_a_lease(world: World) -> None:
    said = await world.milvus("pause", "rootcoord", "--for", "10m", "-o", "json")
    pause = json.loads(said.out)["paused"]
    assert pause["until_ms"] - pause["since_ms"] == 600_000
    kv = (await world.client.get(world.a.keys.paused)).kv
    assert kv is not None
    lease = await world.client.lease_time_to_live(kv.lease)
    assert 590 < lease.ttl_s <= 600
    leases = await world.etcd.ctl("lease", "list")
    again = await world.milvus("pause", "rootcoord", "--for", "5m")
    assert " until " in again.out
    assert await world.etcd.ctl("lease", "list") == leases, "the second one's lease is left behind"
    assert (await world.milvus("resume", "rootcoord")).code == 0
    assert (await world.client.lease_time_to_live(kv.lease)).ttl_s == -1, "a lease is left behind"
    await world.milvus("pause", "rootcoord", "--for", "10m")
    kv = (await world.client.get(world.a.keys.paused)).kv
    assert kv is not None
    await world.client.lease_revoke(kv.lease)
    assert "paused" not in (await world.milvus("status", "rootcoord")).out


async def test_a_later_end_takes_the_place_of_a_pause(world: World) -> None:
    async def paused(*words: str) -> dict[str, Any]:
        said = await world.milvus("pause", "rootcoord", *words, "-o", "json")
        assert said.code == 0, said.err
        facts: dict[str, Any] = json.loads(said.out)
        return facts

    short = await paused("--for", "10m")
    longer = await paused("--for", "1h", "--reason", "disks")
    assert (longer["changed"], longer["paused"]["reason"]) == (True, "disks")
    leases = await world.etcd.ctl("lease", "list")
    assert longer["paused"]["until_ms"] > short["paused"]["until_ms"] + 3_000_000
    assert (await paused("--for", "10m"))["paused"] == longer["paused"]
    for_ever = await paused()
    assert (for_ever["changed"], for_ever["paused"]["until_ms"]) == (True, 0)
    assert not (await paused("--for", "1h"))["changed"]
    assert len(leases.split()) - len((await world.etcd.ctl("lease", "list")).split()) == 1


async def test_config_show_asks_etcd(world: World) -> None:
    await world.etcd.ctl("put", "by-dev/meta/config/rootCoord/maxPartitionNum", "77")
    said = await world.milvus("config", "show", "rootcoord", "-o", "json")
    setting = json.loads(said.out)["settings"]["rootCoord.maxPartitionNum"]
    assert (said.code, setting["source"], str(setting["value"])) == (0, "etcd", "77")
    away = await milvus("config", "show", "rootcoord", "-o", "json", etcd=("127.0.0.1:1",))
    assert (away.code, "rootCoord.maxPartitionNum" in away.out) == (1, True)
    assert "without what is stored in etcd" in away.err


async def test_a_pause_that_etcd_makes_longer_says_when_it_ends(world: World) -> None:
    """Etcd grants no lease below two seconds by default."""
    said = await world.milvus("pause", "rootcoord", "--for", "1s", "-o", "json")
    pause = json.loads(said.out)["paused"]
    kv = (await world.client.get(world.a.keys.paused)).kv
    assert kv is not None
    lease = await world.client.lease_time_to_live(kv.lease)
    assert pause["until_ms"] - pause["since_ms"] == lease.granted_ttl_s * 1000 > 1000


async def test_waiting(world: World) -> None:
    reached = await world.milvus("wait", "rootcoord", "--for", "ready")
    assert (reached.code, reached.out) == (0, "rootcoord is ready\n")
    await world.b.say(ready=False, why=("mirror is not synced",))
    late = await world.milvus("wait", "rootcoord", "--timeout", "0.2")
    assert (late.code, late.out) == (
        4,
        "rootcoord: after 0.2 s somebody leads, but no standby is ready\n",
    )
    enough = await world.milvus("wait", "rootcoord", "--for", "active")
    assert (enough.code, enough.out) == (0, "rootcoord is active\n")
    nobody = await world.milvus("wait", "querycoord", "--for", "active", "--timeout", "0.2")
    assert (nobody.code, nobody.out) == (3, "querycoord: after 0.2 s nobody leads\n")


async def test_waiting_ends_when_it_is_so(world: World) -> None:
    await world.b.say(ready=False, why=("mirror is not synced",))
    waiting = asyncio.create_task(world.milvus("wait", "rootcoord"), name="wait")
    await world.b.say(ready=True, why=())
    assert (await waiting).code == 0


async def test_etcd_and_root_path_of_the_command_line(etcd: EtcdMember, world: World) -> None:
    nowhere = ("127.0.0.1:1",)
    over = ("--endpoints", world.etcd.client_endpoint)
    embedded = {"ETCD_ENDPOINTS": "", "ETCD_USE_EMBED": "true"}
    for env in ({}, embedded):
        said = await milvus("status", *over, etcd=nowhere, env=env)
        assert (said.code, said.err) == (0, "")
    checked = await milvus("check", "mirror", "rootcoord", *over, etcd=nowhere)
    assert checked.code == 4, "etcd was read, and the fakes have no mirror"
    said = await milvus("status", "--root-path", "other", etcd=world.etcd.endpoints)
    assert said.out == "no coordinator has registered below other/meta/session\n"


async def test_the_active_refuses(world: World) -> None:
    async def refuse() -> None:
        async for kv, request in world.a.requests():
            await world.a.answer(kv, request, RequestState.REFUSED, "8 is 12 revisions behind")
            return

    async with beside(refuse()):
        said = await world.milvus("switchover", "rootcoord")
    assert said.code == 3
    assert said.err == "milvus: rootcoord is not switched over: 8 is 12 revisions behind\n"


@pytest.mark.parametrize(
    ("accepts", "text"), [(False, "the active's answer"), (True, "the active's hand-over")]
)
async def test_the_active_does_nothing(world: World, accepts: bool, text: str) -> None:
    async def stall() -> None:
        async for kv, request in world.a.requests():
            if accepts:
                await world.a.answer(kv, request, RequestState.ACCEPTED)
            return

    async with beside(stall()):
        said = await world.milvus("switchover", "rootcoord", "--timeout", "0.5")
    assert said.code == 1
    assert f"rootcoord: after 0.5 s still waiting for {text}" in said.err
    assert (await world.client.get(world.a.keys.switchover)).kv is None


async def test_another_takes_over_meanwhile(world: World) -> None:
    async def die() -> None:
        async for _ in world.a.requests():
            await world.b.lead(Cause.PROCESS_DIED, world.a)
            return

    async with beside(die()):
        said = await world.milvus("switchover", "rootcoord")
    assert said.code == 3
    assert "8 (127.0.0.1:53108) took over meanwhile for another reason: process-died" in said.err


async def test_a_third_takes_what_the_heir_does_not(world: World) -> None:
    async def lose() -> None:
        async for kv, request in world.a.requests():
            await world.a.answer(kv, request, RequestState.ACCEPTED)
            await world.a.lead(Cause.STOPPED, world.b)
            return

    async with beside(lose()):
        said = await world.milvus("switchover", "rootcoord", "--to", "8")
    assert said.code == 3
    assert said.out.endswith("8 was asked for, but did not take the key in time\n")


async def test_ctrl_c_takes_the_request_back(world: World) -> None:
    process = await start_milvus(
        "switchover", "rootcoord", "--timeout", "60", etcd=world.etcd.endpoints
    )
    async with asyncio.timeout(20):
        async for _ in world.a.requests():
            break
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert (await world.client.get(world.a.keys.switchover)).kv is None


async def test_doctor(world: World) -> None:
    said = await world.milvus("doctor", "-o", "json")
    report = json.loads(said.out)
    found = {(one["grade"], one["what"]) for one in report["findings"]}
    assert {("warn", "etcd size"), ("ok", "rootcoord"), ("ok", "clock")} <= found
    assert said.code == report["exit_code"] == 3, "this etcd is one that loses data"
    await world.client.txn(Txn((), (put(world.a.keys.active + b"-x", b"junk"),)))
    lines = (await world.milvus("doctor", "rootcoord")).out.splitlines()
    assert any(line.startswith("bad   rootcoord") and "-x" in line for line in lines)


async def test_doctor_with_a_member_down(etcd3: EtcdCluster) -> None:
    (await etcd3.followers())[0].kill()
    said = await milvus("doctor", "rootcoord", "-o", "json", etcd=etcd3.endpoints)
    findings = json.loads(said.out)["findings"]
    details = [one["detail"] for one in findings]
    assert not [
        one for one in findings if one["what"] == "etcd keep-alives" and "refused" in one["detail"]
    ]
    assert "2 of 3 answer" in details
    assert "3 members (m0, m1, m2) survive the loss of 1" in details
    assert said.code == 3


@pytest.mark.parametrize("verb", ["status", "history", "pause", "switchover", "doctor"])
async def test_without_an_etcd(etcd: EtcdMember, verb: str) -> None:
    etcd.kill()
    said = await milvus(verb, "rootcoord", etcd=etcd.endpoints)
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith(f"milvus: etcd connect: {etcd.client_endpoint}: ")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("pause",),
        ("status", "proxy"),
        ("history", "-n", "0"),
        ("switchover", "rootcoord", "--to", "x"),
        ("switchover", "rootcoord", "--timeout", "-1"),
        ("pause", "rootcoord", "--for", "10 weeks"),
        ("pause", "rootcoord", "--reason", "a\udcff"),
        ("ts", "-1"),
        ("status", "--endpoints", ""),
        ("status", "--endpoints", " , "),
        ("check", "mirror", "rootcoord", "--root-path", " "),
        ("history", "--dry-run"),
        ("ts", "18446744073709551616"),
        ("status", "--config", "/nowhere/milvus.yaml"),
    ],
)
async def test_mistakes(words: tuple[str, ...]) -> None:
    said = await milvus(*words, etcd=("127.0.0.1:1",))
    assert said.code == 2
    assert said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("statsu",), "status"),
        (("status", "rootcord"), "rootcoord"),
        (("run", "rootcord"), "rootcoord"),
        (("status", "--endpiont=x"), "--endpoints"),
        (("status", "-o", "yml"), "yaml"),
    ],
)
async def test_what_may_have_been_meant(words: tuple[str, ...], meant: str) -> None:
    said = await milvus(*words, etcd=("127.0.0.1:1",))
    assert said.code == 2
    assert said.err.endswith(f", did you mean '{meant}'?\n")


async def test_no_option_of_another_verb_is_meant() -> None:
    said = await milvus("history", "rootcoord", "--dry-runn", etcd=("127.0.0.1:1",))
    assert "did you mean" not in said.err
    assert "usage: milvus history" in said.err
