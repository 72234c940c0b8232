"""S32: a pair is given another list of etcd members, one process after the other."""

from __future__ import annotations

from pathlib import Path

from testing.etcd import EtcdCluster
from testing.hammer import Hammer
from testing.ours import OurRole
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_etcd_trouble import epoch_of, last_try
from tests.ha.test_takeover import answers, taken_over
from tests.rig.extras import PATIENT


async def told(role: OurRole, endpoint: str) -> None:
    """Stop the process in order, and start it with a list of this one member."""
    role.terminate()
    assert await role.wait_exit() == 0
    role.env["ETCD_ENDPOINTS"] = endpoint
    role.start()
    await role.wait_standby()


async def test_the_pair_moves_to_another_member(
    etcd3: EtcdCluster, rootcoord: StartRole, tmp_path: Path
) -> None:
    old, new, _ = etcd3.members
    active, standby = await started_pair(
        rootcoord, old.endpoints, session_ttl_s=60, env={"HA_SERVE_LEASE": "1000", **PATIENT}
    )
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        await told(standby, new.endpoints[0])
        await told(active, new.endpoints[0])
        await answers(hammer, standby)
        epoch = await epoch_of(standby)
        old.kill()
        killed_s = last_try(hammer)
        await hammer.wait_success(standby.address, after_s=killed_s, within_s=20)
        assert await epoch_of(standby) == epoch
        await taken_over(hammer, active, standby)
