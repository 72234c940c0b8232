"""Trouble in etcd while statements run: leadership moves or stays, the metadata is whole."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from testing.ddl_callers import calling
from testing.ddl_scene import answers, scene
from testing.etcd import EtcdCluster, EtcdMember
from testing.link import Link
from testing.mirror_check import check_mirrors
from testing.ours import OurRole
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_etcd_trouble import epoch_of, one_leads
from tests.ha.test_takeover import ACTIVE_KEY

Strike: TypeAlias = Callable[[EtcdMember], Awaitable[None]]


async def revoke_lease(etcd: EtcdMember) -> None:
    fields = await etcd.ctl("get", ACTIVE_KEY, "-w", "fields")
    lease = next(line for line in fields.splitlines() if line.startswith('"Lease"'))
    await etcd.ctl("lease", "revoke", f"{int(lease.rpartition(':')[2]):x}")


async def delete_key(etcd: EtcdMember) -> None:
    await etcd.ctl("del", ACTIVE_KEY)


async def overwrite_key(etcd: EtcdMember) -> None:
    await etcd.ctl("put", ACTIVE_KEY, "{junk")


@pytest.mark.parametrize("strike", [revoke_lease, delete_key, overwrite_key])
async def test_leadership_taken_away(
    etcd: EtcdMember, rootcoord: StartRole, strike: Strike
) -> None:
    async with scene(etcd.endpoints) as playing:
        active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
        async with calling(playing.client, stubborn=4, fickle=4) as callers:
            await callers.more(100)
            await strike(etcd)
            await active.wait_line("stepping down")
            await callers.more(100)
        leader = await one_leads(active, standby)
        await playing.verify(callers, leader.address)
        other = standby if leader is active else active
        await other.wait_standby()
        await check_mirrors(etcd.endpoints, leader, other)
        leader.terminate()
        await other.wait_active()
        await playing.verify(callers, other.address)
    assert callers.refusals == []


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_the_leading_member_of_three_is_lost(
    etcd3: EtcdCluster, rootcoord: StartRole, how: str
) -> None:
    """Outcomes that etcd leaves open are settled; nobody takes over for that."""
    async with scene(etcd3.endpoints) as playing:
        active, standby = await started_pair(rootcoord, etcd3.endpoints, session_ttl_s=15)
        epoch = await epoch_of(active)
        async with calling(playing.client, stubborn=4, fickle=4) as callers:
            await callers.more(100)
            member = await etcd3.leader()
            member.kill() if how == "kill" else member.pause()
            await callers.more(100)
        assert await epoch_of(active) == epoch
        await playing.verify(callers, active.address)
        await check_mirrors(etcd3.endpoints, active, standby)
        if how == "pause":
            member.resume()
        active.terminate()
        await standby.wait_active()
        await playing.verify(callers, standby.address)


async def test_standby_that_lost_history_knows_what_a_fresh_one_reads(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    """Its watch is cut, and what it missed is compacted away, while statements run."""
    async with Link(etcd.client_endpoint) as link, scene(etcd.endpoints) as playing:
        active: OurRole = rootcoord(etcd.endpoints)
        active.start()
        await active.wait_active()
        standby: OurRole = rootcoord([link.endpoint], session_ttl_s=20)
        standby.start()
        await standby.wait_standby()
        async with calling(playing.client, stubborn=4, fickle=4) as callers:
            await callers.more(50)
            link.cut()
            await callers.more(50)
            await etcd.ctl("compact", str(await revision(etcd)))
            await callers.more(50)
            await link.heal()
            await standby.wait_line("etcd history lost, reading again.*root-coord")
            await standby.wait_standby()
            await check_mirrors(etcd.endpoints, active, standby)
            await callers.more(50)
            active.kill()
            await callers.more(50, by=standby.address)
        await playing.verify(callers, standby.address)
        fresh: OurRole = rootcoord(etcd.endpoints)
        fresh.start()
        await fresh.wait_standby()
        await check_mirrors(etcd.endpoints, fresh, standby)
        of_the_standby = await answers(standby.address)
        standby.terminate()
        await fresh.wait_active()
        of_the_fresh_one = await answers(fresh.address)
    assert len(of_the_standby) > 50
    assert of_the_standby == of_the_fresh_one


async def revision(etcd: EtcdMember) -> int:
    """The store's."""
    found = json.loads(await etcd.ctl("get", ACTIVE_KEY, "-w", "json"))
    return int(found["header"]["revision"])
