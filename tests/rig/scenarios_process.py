"""S1 to S5: the active's process ends, hands over, dies, or stands still."""

from __future__ import annotations

from milvus_coord.ha.pair.takeover import Cause
from tests.rig.registry import scenario
from tests.rig.rig import Rig

_BEATS_MISSED_S = 0.5
"""A stop of less than this is no sign of anything."""


@scenario("S1", "SIGTERM of the active")
async def sigterm(rig: Rig) -> None:
    active, standby = await rig.pair()
    causes = [Cause.FIRST]
    for _ in range(rig.pick(2, 20)):
        with rig.fault("sigterm"):
            active.terminate()
            await rig.leads(standby)
        assert await active.wait_exit(40) == 0
        causes.append(Cause.STOPPED)
        left = await rig.etcd.ctl(
            "get", "--prefix", "by-dev/meta/session/rootcoord", "--print-value-only"
        )
        assert active.peer.endpoint not in left, "a session key of the old one is left"
        await rig.restart(active)
        active, standby = standby, active
    rig.expect(*causes)


@scenario("S2", "switchover by a request in etcd, back and forth")
async def switchover(rig: Rig) -> None:
    active, standby = await rig.pair()
    causes = [Cause.FIRST]
    for _ in range(rig.pick(3, 100)):
        with rig.fault("switchover"):
            await rig.request(to=standby)
            await rig.leads(standby)
        causes.append(Cause.SWITCHOVER)
        await rig.ready(active)
        active, standby = standby, active
    rig.expect(*causes[-100:])


@scenario("S3", "kill -9 of the active, the standby sees its process")
async def kill_9(rig: Rig) -> None:
    active, standby = await rig.pair()
    causes = [Cause.FIRST]
    for _ in range(rig.pick(2, 20)):
        with rig.fault("kill"):
            active.kill()
            await rig.leads(standby)
        causes.append(Cause.PROCESS_DIED)
        await rig.restart(active)
        active, standby = standby, active
    rig.expect(*causes)


@scenario("S3-host", "kill -9 of the active on another host", other_hosts=True)
async def kill_9_elsewhere(rig: Rig) -> None:
    active, standby = await rig.pair()
    with rig.fault("kill"):
        active.kill()
        await rig.leads(standby)
    await rig.restart(active)
    rig.expect(Cause.FIRST, Cause.UNREACHABLE)


@scenario("S4", "SIGSTOP of the active, then SIGCONT")
async def frozen(rig: Rig) -> None:
    active, standby = await rig.pair()
    with rig.fault("freeze"):
        active.pause()
        await rig.leads(standby)
    await rig.quiet(rig.pick(1, 180))
    active.resume()
    await rig.ready(active)
    assert active.exit_code is None, "it was to be a standby without a restart"
    rig.expect(Cause.FIRST, Cause.SILENT)


@scenario("S4-ttl", "SIGSTOP of the active for three times the TTL", ttl_s=3, serve_lease_ms=500)
async def frozen_beyond_its_lease(rig: Rig) -> None:
    active, standby = await rig.pair()
    with rig.fault("freeze"):
        active.pause()
        await rig.leads(standby)
    await rig.quiet(9)
    active.resume()
    await rig.ready(active)


@scenario("S5", "SIGSTOP of the active for moments, again and again")
async def stutters(rig: Rig) -> None:
    """Short stops change nothing; of the longer ones damping lets one a minute do so."""
    active, _ = await rig.pair()
    async with rig.no_failover():
        for _ in range(rig.pick(12, 250)):
            active.pause()
            await rig.quiet(rig.random.uniform(0.05, 0.8 * _BEATS_MISSED_S))
            active.resume()
            await rig.quiet(rig.random.uniform(0.05, 0.2))
        await rig.leads(active)
    early_before = len(rig.early_takeovers())
    assert early_before == 0
    for _ in range(rig.pick(4, 250)):
        leader = await rig.one_leads()
        leader.pause()
        await rig.quiet(rig.random.uniform(0.6, 0.95))
        leader.resume()
        await rig.somebody_leads()
    allowed = rig.pick(1, 10)
    assert len(rig.early_takeovers()) <= allowed, "damping did not hold them back"
