"""Leadership of rootcoord passes between Go 2.2.16 and ours; time and ids never go back."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.cluster import SESSION_TTL_S, Troupe
from testing.daemon import RoleDaemon, boottime_s
from testing.hammer import Hammer
from testing.sightings import Method

pytestmark = [pytest.mark.etcd, pytest.mark.go]

TAKEOVER_S = 2.0
BACKSTOP_S = SESSION_TTL_S + 4.0  # etcd looks for expired leases now and then only


@pytest.mark.parametrize("fault", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize(("first", "second"), [("go", "go"), ("go", "ours"), ("ours", "go")])
async def test_the_standby_leads_when_the_active_one_ends(
    troupe: Troupe, tmp_path: Path, first: str, second: str, fault: str
) -> None:
    active, standby = troupe.make(first), troupe.make(second)
    active.start()
    await active.wait_active()
    standby.start()
    await standby.wait_standby()

    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await end_and_wait(hammer, active, standby, fault)

    seen = hammer.sightings()
    before, after = seen.check_tenures(active.address, standby.address)
    assert before.first.server_id != after.first.server_id
    seen.check_values(Method.ALLOC_TIMESTAMP, at_least=20)
    seen.check_values(Method.ALLOC_ID, at_least=5)


@pytest.mark.parametrize("other", ["go", "ours"])
async def test_one_client_sees_four_changes_there_and_back(
    troupe: Troupe, tmp_path: Path, other: str
) -> None:
    active, standby = troupe.make("go"), troupe.make(other)
    addresses = [active.address, standby.address]
    active.start()
    await active.wait_active()
    standby.start()
    await standby.wait_standby()

    leaders = [active.address]
    async with Hammer(addresses, folder=tmp_path) as hammer:
        for fault in ("SIGTERM", "SIGTERM", "SIGKILL", "SIGKILL"):
            await end_and_wait(hammer, active, standby, fault)
            leaders.append(standby.address)
            active.start()
            await active.wait_standby()
            active, standby = standby, active

    seen = hammer.sightings()
    seen.check_tenures(*leaders)
    seen.check_values(Method.ALLOC_TIMESTAMP, at_least=200)
    seen.check_values(Method.ALLOC_ID, at_least=50)


async def end_and_wait(hammer: Hammer, active: RoleDaemon, standby: RoleDaemon, fault: str) -> None:
    """End the active one; return when it is gone and the standby has answered."""
    await hammer.wait_success(active.address, after_s=boottime_s())
    at_s = boottime_s()
    if fault == "SIGTERM":
        active.terminate()
        await hammer.wait_success(standby.address, after_s=at_s, within_s=TAKEOVER_S)
        assert await active.wait_exit() == 0
    else:
        active.kill()
        await hammer.wait_success(standby.address, after_s=at_s, within_s=BACKSTOP_S)
    await hammer.wait_success(standby.address, after_s=boottime_s() + 0.05)
