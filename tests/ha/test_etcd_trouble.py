"""Trouble in etcd is waited out: no needless failover, no exit, nothing handed out twice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from testing.etcd import EtcdCluster, EtcdMember, EtcdOptions
from testing.hammer import Hammer
from testing.link import Link
from testing.ours import OurRole
from testing.sightings import Method
from tests.conftest import StartEtcd
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_takeover import ACTIVE_KEY, answers, taken_over


async def epoch_of(role: OurRole) -> int:
    status, body = await role.http("/role")
    assert status == 200, body
    return int(json.loads(body)["epoch"])


async def still_the_same(hammer: Hammer, active: OurRole, epoch: int, *, since_s: float) -> None:
    """The active serves on in its old term, and was alone all the time."""
    await hammer.wait_success(active.address, after_s=since_s, within_s=20)
    assert await epoch_of(active) == epoch
    seen = hammer.sightings()
    seen.check_tenures(active.address)
    seen.check_values(Method.ALLOC_TIMESTAMP, at_least=20)


def last_try(hammer: Hammer) -> float:
    return max(one.received_s for one in hammer.sightings().tries)


@pytest.mark.parametrize("which", ["leader", "follower"])
async def test_member_killed(
    etcd3: EtcdCluster, rootcoord: StartRole, tmp_path: Path, which: str
) -> None:
    active, standby = await started_pair(rootcoord, etcd3.endpoints, session_ttl_s=10)
    epoch = await epoch_of(active)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        victim = await etcd3.leader() if which == "leader" else (await etcd3.followers())[0]
        victim.kill()
        await etcd3.leader()
        await still_the_same(hammer, active, epoch, since_s=last_try(hammer))
        active.terminate()
        await taken_over(hammer, active, standby)


async def test_restart_within_the_ttl(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=20)
    epoch = await epoch_of(active)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        await etcd.stop()
        await active.wait_line("serve lease lapsed, refusing requests")
        await etcd.start()
        await still_the_same(hammer, active, epoch, since_s=last_try(hammer))
        active.terminate()
        await taken_over(hammer, active, standby)


async def test_stopped_for_longer_than_the_ttl(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        before = await epoch_of(active)
        await etcd.stop()
        await active.wait_line("stepping down.*the session lease was not renewed for 2 s")
        assert await active.standing() != 200
        await etcd.start()
        leader = await one_leads(active, standby)
        assert await epoch_of(leader) > before
        since_s = last_try(hammer)
        await hammer.wait_success(leader.address, after_s=since_s, within_s=20)
        seen = hammer.sightings()
        assert len(seen.tenures()) <= 2
        seen.check_values(Method.ALLOC_TIMESTAMP, at_least=20)
        seen.check_values(Method.ALLOC_ID, at_least=4)
    assert active.running
    assert standby.running


async def one_leads(*roles: OurRole) -> OurRole:
    """The one that is active, once one is and the others stand by."""
    async with asyncio.timeout(30):
        while True:
            standings = [await role.standing() for role in roles]
            if sorted(str(standing) for standing in standings) == [
                "200",
                *["429"] * (len(roles) - 1),
            ]:
                return roles[standings.index(200)]
            await asyncio.sleep(0.02)


async def test_compaction_under_a_cut_watch(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    async with Link(etcd.client_endpoint) as link:
        active: OurRole = rootcoord(etcd.endpoints, session_ttl_s=10)
        active.start()
        await active.wait_active()
        standby: OurRole = rootcoord([link.endpoint], session_ttl_s=10)
        standby.start()
        await standby.wait_standby()
        link.cut()
        for number in range(20):
            await etcd.ctl("put", "unrelated", str(number))
        await etcd.ctl("del", f"{ACTIVE_KEY}-77")
        revision = json.loads(await etcd.ctl("get", "unrelated", "-w", "json"))["header"][
            "revision"
        ]
        await etcd.ctl("compact", str(revision))
        await link.heal()
        async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
            await answers(hammer, active)
            active.terminate()
            await taken_over(hammer, active, standby)


async def test_nospace_is_waited_out(
    start_etcd: StartEtcd, rootcoord: StartRole, tmp_path: Path
) -> None:
    etcd = await start_etcd(1, EtcdOptions(extra_args=("--quota-backend-bytes=1048576",)))
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=10)
    epoch = await epoch_of(active)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        full = tmp_path / "full"
        full.write_text("x" * 900_000)
        while "NOSPACE" not in await etcd.ctl("alarm", "list"):
            await etcd.ctl("put", "ballast", full.read_text()[:120_000], check=False)
        await active.wait_line("cannot save the allocators' bounds, trying on", within_s=20)
        await standby.wait_line("cannot publish the instance status, trying on")
        revision = json.loads(await etcd.ctl("get", "ballast", "-w", "json"))["header"]["revision"]
        await etcd.ctl("compact", str(revision))
        await etcd.ctl("defrag")
        await etcd.ctl("alarm", "disarm")
        await active.wait_line("could save the allocators' bounds at last", within_s=20)
        await still_the_same(hammer, active, epoch, since_s=last_try(hammer))
        await standby.wait_line("could publish the instance status at last")
        active.terminate()
        await taken_over(hammer, active, standby)
