"""Several standbys want one key, several processes want one port: exactly one gets it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from testing.etcd import EtcdMember
from testing.forms import pick
from testing.hammer import Hammer
from testing.sightings import Method
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_etcd_trouble import epoch_of, last_try, one_leads
from tests.ha.test_takeover import ACTIVE_KEY, answers, taken_over

RACES = pick(15, 50)


@pytest.mark.long_form
@pytest.mark.timeout(300)
async def test_three_standbys_race_again_and_again(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    """The active key is deleted again and again: each time all four rush for it, and one wins."""
    roles = [
        rootcoord(etcd.endpoints, session_ttl_s=30, env={"HA_SERVE_LEASE": "200"}) for _ in range(4)
    ]
    for role in roles:
        role.start()
    leader = await one_leads(*roles)
    epochs = [await epoch_of(leader)]
    async with Hammer([role.address for role in roles], folder=tmp_path) as hammer:
        await hammer.wait_success(leader.address)
        for _ in range(RACES):
            await etcd.ctl("del", ACTIVE_KEY)
            await leader.wait_line(
                f"stepping down.*epoch={epochs[-1]}|epoch={epochs[-1]}.*was deleted"
            )
            leader = await one_leads(*roles)
            epochs.append(await epoch_of(leader))
            await hammer.wait_success(leader.address, after_s=last_try(hammer))
        seen = hammer.sightings()
    assert epochs == sorted(set(epochs)), "an epoch came twice or went back"
    assert len(epochs) == RACES + 1
    assert len(seen.tenures()) <= RACES + 1, "two answered as active at a time"
    seen.check_values(Method.ALLOC_TIMESTAMP, at_least=RACES)
    seen.check_values(Method.ALLOC_ID, at_least=RACES)


async def test_port_taken_at_activation(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints)
    with socket.create_server(("127.0.0.1", standby.port)):
        active.terminate()
        await standby.wait_line(f"port {standby.port} is taken")
        keys = (await etcd.ctl("get", "--prefix", ACTIVE_KEY, "--keys-only")).split()
        assert standby.running
        assert f"{ACTIVE_KEY}-2" in keys, "its own session goes on"
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await hammer.wait_success(standby.address, within_s=40)
    hammer.sightings().check_tenures(standby.address)


async def test_port_taken_at_activation_lets_another_standby_lead(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, blocked = await started_pair(rootcoord, etcd.endpoints)
    third = rootcoord(etcd.endpoints)
    third.start()
    await third.wait_standby()
    with socket.create_server(("127.0.0.1", blocked.port)):
        async with Hammer([active.address, third.address], folder=tmp_path) as hammer:
            await answers(hammer, active)
            active.terminate()
            await taken_over(hammer, active, third)
    assert blocked.running
    async with asyncio.timeout(10):
        while await blocked.standing() != 429:
            await asyncio.sleep(0.02)
