"""S20, S21: many standbys, and one active after the other that does not last."""

from __future__ import annotations

from milvus_coord.ha.pair.takeover import Cause
from tests.rig.extras import PATIENT, spent
from tests.rig.registry import scenario
from tests.rig.rig import Rig


@scenario(
    "S20",
    "five standbys, and the active dies again and again",
    coordinators=6,
    etcd_members=1,
    env=PATIENT,
)
async def crowd(rig: Rig) -> None:
    active, _ = await rig.pair()
    causes = [Cause.FIRST]
    for _ in range(rig.pick(1, 50)):
        since = (await rig.store.caught_up()).revision
        with rig.fault("kill"):
            active.kill()
            leader = await rig.one_leads()
            await rig.leads(leader)
        assert await spent(rig, since) == 1, "more than one has won the active key"
        causes.append(Cause.PROCESS_DIED)
        if rig.long:
            await rig.restart(active)
        active = leader
    rig.expect(*causes)


@scenario("S21", "one active after the other dies or freezes", etcd_members=1, ttl_s=5)
async def flapping(rig: Rig) -> None:
    """The first freeze costs half a second; the second is left to the lease, which ends."""
    active, standby = await rig.pair()
    for _ in range(rig.pick(2, 60)):
        with rig.fault("kill"):
            active.kill()
            await rig.leads(standby)
        await rig.restart(active)
        active, standby = standby, active
    with rig.fault("freeze"):
        active.pause()
        await rig.leads(standby)
    active.resume()
    await rig.ready(active)
    active, standby = standby, active
    since = standby.log_size()
    with rig.fault("freeze when damped"):
        active.pause()
        await standby.wait_line("left to its lease.*damped", after=since)
        await rig.leads(standby)
    active.resume()
    await rig.ready(active)
    assert len(rig.early_takeovers()) == 1, "damping did not hold the second one back"
    holdings = (await rig.store.caught_up()).holdings()
    assert [each.epoch for each in holdings] == sorted({each.epoch for each in holdings})
