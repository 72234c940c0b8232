"""A standby whose own lease has died comes back by itself, and takes over when it is needed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from testing.etcd import EtcdMember
from testing.hammer import Hammer
from testing.ours import OurRole
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_takeover import answers, taken_over

SESSIONS = "by-dev/meta/session/rootcoord-"


async def instance_keys(etcd: EtcdMember) -> list[str]:
    return (await etcd.ctl("get", "--prefix", SESSIONS, "--keys-only")).split()


async def instances_are(etcd: EtcdMember, count: int) -> None:
    """Until so many instance keys are registered."""
    async with asyncio.timeout(20):
        while len(await instance_keys(etcd)) != count:
            await asyncio.sleep(0.05)


async def test_frozen_beyond_its_ttl_and_then_needed(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    """Go 2.2.16 never recovers from this: it tries its dead lease for ever."""
    active, standby = await started_pair(rootcoord, etcd.endpoints)
    standby.pause()
    await instances_are(etcd, 1)
    standby.resume()
    await standby.wait_line("session lost, registering again")
    await instances_are(etcd, 2)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        active.kill()
        await taken_over(hammer, active, standby)


async def test_frozen_while_the_active_dies(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        standby.pause()
        active.kill()
        await instances_are(etcd, 0)
        standby.resume()
        await taken_over(hammer, active, standby)


async def test_hand_over_to_a_frozen_standby_goes_to_another(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, frozen = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    frozen.pause()
    third: OurRole = rootcoord(etcd.endpoints, session_ttl_s=30)
    third.start()
    await third.wait_standby()
    async with Hammer([active.address, frozen.address, third.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        active.terminate()
        await taken_over(hammer, active, third)


async def test_lease_of_the_standby_revoked_by_hand(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    key = (await instance_keys(etcd))[-1]
    fields = await etcd.ctl("get", key, "-w", "fields")
    lease = next(line for line in fields.splitlines() if line.startswith('"Lease"'))
    await etcd.ctl("lease", "revoke", f"{int(lease.rpartition(':')[2]):x}")
    await standby.wait_line("session lost, registering again", within_s=5)
    await instances_are(etcd, 2)
    active.terminate()
    await standby.wait_active()


async def test_instance_key_deleted_by_hand_is_put_back(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    for key in await instance_keys(etcd):
        await etcd.ctl("del", key)
    await active.wait_line("our session key was deleted, putting it back")
    await standby.wait_line("our session key was deleted, putting it back")
    await instances_are(etcd, 2)
    assert await active.standing() == 200, "the active went on"
