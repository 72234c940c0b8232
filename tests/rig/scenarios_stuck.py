"""S23 to S25: an address that is used twice, a process that cannot go on, a port that is taken."""

from __future__ import annotations

import os
import resource
import signal
import socket
from pathlib import Path

from milvus_coord.ha.pair.takeover import Cause
from testing.ours import OurRole
from tests.rig import blockable
from tests.rig.coordinator import Coordinator
from tests.rig.extras import PATIENT, run_module, spent, until
from tests.rig.registry import scenario
from tests.rig.rig import Rig


@scenario(
    "S23",
    "a second process at the same address; restarts while the old lease lives",
    etcd_members=1,
    env=PATIENT,
)
async def same_address(rig: Rig) -> None:
    active, standby = await rig.pair()
    async with rig.no_failover():
        double = OurRole(
            "rootcoord",
            etcd_endpoints=rig.etcd.endpoints,
            folder=rig.folder / "double",
            port=active.port,
            session_ttl_s=rig.scenario.ttl_s,
        )
        double.start()
        try:
            assert await double.wait_exit(20) == 2
        finally:
            double.kill()
        assert double.lines(f"port {active.port} is taken: held by .*{active.pid}")
        await rig.leads(active)
    standby.kill()
    with rig.fault("restart in place"):
        active.kill()
        active.start()
        await rig.leads(active)
    await rig.restart(standby)
    rig.expect(Cause.FIRST, Cause.PROCESS_DIED)


def open_files(process: Coordinator) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@scenario("S24", "the active has no file descriptor left, then its loop is blocked", etcd_members=1)
async def starved(rig: Rig) -> None:
    """Full tables alone need not hurt; a loop that stands still has to."""
    for each in rig.coordinators:
        run_module(each, blockable.__name__)
    active, standby = await rig.pair()
    before = resource.prlimit(active.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(active.pid, resource.RLIMIT_NOFILE, (open_files(active), before[1]))
    await rig.quiet(rig.pick(1, 20))
    with rig.fault("block"):
        os.kill(active.pid, signal.SIGUSR1)
        await rig.leads(standby)
    resource.prlimit(active.pid, resource.RLIMIT_NOFILE, before)
    await rig.ready(active)
    assert active.exit_code is None, "it was to be a standby without a restart"
    rig.expect(Cause.FIRST, Cause.SILENT)


@scenario(
    "S25",
    "somebody listens on the standby's port when it is needed",
    coordinators=3,
    etcd_members=1,
    env=PATIENT,
)
async def port_taken(rig: Rig) -> None:
    """The one whose port is taken is not ready and never wins; the other standby does."""
    active, robbed = await rig.pair()
    (other,) = [each for each in rig.coordinators if each not in (active, robbed)]
    with socket.create_server(("127.0.0.1", robbed.port)):

        async def unready() -> bool:
            return not await robbed.is_ready()

        await until(unready, "it says that its port is taken", within_s=5)
        since = (await rig.store.caught_up()).revision
        with rig.fault("kill"):
            active.kill()
            await rig.leads(other)
        assert await spent(rig, since) == 1, "an epoch was burnt"
    await rig.ready(robbed)
    await rig.restart(active)
    rig.expect(Cause.FIRST, Cause.PROCESS_DIED)
