"""The verbs on a real pair: what they say is so, and what they ask for happens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from testing.cli import Said, milvus
from testing.etcd import EtcdMember
from testing.hammer import Hammer
from testing.sightings import Method
from tests.ha.conftest import Pair, StartRole, started_pair

pytestmark = pytest.mark.etcd


async def said_status(etcd: EtcdMember) -> tuple[int, dict[str, Any]]:
    """The exit code of `milvus status rootcoord`, and its one role."""
    said = await milvus("status", "rootcoord", "-o", "json", etcd=etcd.endpoints)
    (role,) = json.loads(said.out)["roles"]
    return said.code, role


async def talking_pair(etcd: EtcdMember, make: StartRole) -> Pair:
    """A pair with long leases, so that nothing here happens by itself."""
    return await started_pair(make, etcd.endpoints, session_ttl_s=30)


async def verb(etcd: EtcdMember, *words: str) -> Said:
    return await milvus(*words, etcd=etcd.endpoints)


async def test_status_knows_the_pair(etcd: EtcdMember, rootcoord: StartRole) -> None:
    active, standby = await talking_pair(etcd, rootcoord)
    code, role = await said_status(etcd)
    assert code == 0
    first, second = role["instances"]
    assert (first["position"], first["address"], first["stale"]) == (
        "active",
        active.address,
        False,
    )
    assert (second["position"], second["address"], second["ready"]) == (
        "standby",
        standby.address,
        True,
    )
    assert first["status"]["management"].endswith(f":{active.metrics_port}")


async def test_a_frozen_standby_is_seen_stale(etcd: EtcdMember, rootcoord: StartRole) -> None:
    _, standby = await talking_pair(etcd, rootcoord)
    standby.pause()
    code, role = await said_status(etcd)
    assert code == 4
    assert [one["stale"] for one in role["instances"]] == [False, True]
    standby.resume()
    async with asyncio.timeout(20):
        while (await said_status(etcd))[0] != 0:
            pass


async def test_switchover_there_and_back(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    first, second = await talking_pair(etcd, rootcoord)
    async with Hammer([first.address, second.address], folder=tmp_path) as hammer:
        for former, heir in ((first, second), (second, first)):
            async with asyncio.timeout(20):
                while (await said_status(etcd))[0] != 0:
                    pass
            said = await verb(etcd, "switchover", "rootcoord")
            assert said.code == 0, said.err
            assert f"({heir.address}) leads, " in said.out
            await heir.wait_active()
            await former.wait_standby()
            await hammer.wait_success(heir.address, within_s=10)
    seen = hammer.sightings()
    seen.check_tenures(first.address, second.address, first.address)
    seen.check_values(Method.ALLOC_TIMESTAMP, at_least=20)
    history = json.loads((await verb(etcd, "history", "rootcoord", "-o", "json")).out)
    causes = [one["cause"] for one in history["roles"][0]["history"]]
    assert causes == ["switchover", "switchover", "first"]
    assert all(one["served"] for one in history["roles"][0]["history"])


async def test_a_paused_pair_does_not_switch_over(etcd: EtcdMember, rootcoord: StartRole) -> None:
    active, _ = await talking_pair(etcd, rootcoord)
    await verb(etcd, "pause", "rootcoord", "--reason", "test")
    assert (await said_status(etcd))[1]["paused"]["reason"] == "test"
    assert (await verb(etcd, "switchover", "rootcoord")).code == 3
    await verb(etcd, "resume", "rootcoord")
    assert (await verb(etcd, "switchover", "rootcoord")).code == 0
    await active.wait_standby()


async def test_doctor_finds_nothing_but_the_etcd(etcd: EtcdMember, rootcoord: StartRole) -> None:
    await talking_pair(etcd, rootcoord)
    report = json.loads((await verb(etcd, "doctor", "rootcoord", "-o", "json")).out)
    found = [one for one in report["findings"] if one["grade"] != "ok"]
    assert {one["what"].split()[0] for one in found} == {"etcd"}
    assert ("ok", "clock") in {(one["grade"], one["what"]) for one in report["findings"]}


async def test_alone_it_refuses(etcd: EtcdMember, rootcoord: StartRole) -> None:
    only = rootcoord(etcd.endpoints)
    only.start()
    await only.wait_active()
    said = await verb(etcd, "switchover", "rootcoord")
    assert said.code == 3
    assert said.err == "milvus: rootcoord is not switched over: there is no standby\n"
    assert (await verb(etcd, "status", "rootcoord")).code == 4
