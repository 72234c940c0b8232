"""S10 to S16: members of etcd die, all of it stops, its history is compacted."""

from __future__ import annotations

from milvus_coord.ha.pair.takeover import Cause
from testing.daemon import boottime_s
from testing.etcd import EtcdMember
from testing.ours import NEVER_EARLY
from tests.rig.coordinator import Coordinator
from tests.rig.registry import scenario
from tests.rig.rig import Rig

_LAPSED_S = 1.0
"""The serve lease of half a second has certainly lapsed so long after etcd stopped."""


async def in_use(rig: Rig, coordinator: Coordinator) -> EtcdMember:
    """The member that most of what the coordinator says goes to."""
    before = await coordinator.etcd.carried_bytes()
    await rig.leads(coordinator)
    await rig.quiet(0.5)
    after = await coordinator.etcd.carried_bytes()
    grown = [late - early for early, late in zip(before, after, strict=True)]
    return rig.etcd.members[grown.index(max(grown))]


async def lose(rig: Rig, active: Coordinator, member: EtcdMember, words: str) -> None:
    """The member dies, the active serves on, the member comes back."""
    with rig.fault(words):
        member.kill()
        await rig.etcd.leader()
        await rig.leads(active)
    await member.start()


@scenario("S10", "a follower of etcd dies, and the member that the active talks to")
async def follower_lost(rig: Rig) -> None:
    active, _ = await rig.pair()
    async with rig.no_failover():
        for _ in range(rig.pick(1, 10)):
            (follower, *_) = await rig.etcd.followers()
            await lose(rig, active, follower, "kill follower")
            await lose(rig, active, await in_use(rig, active), "kill member in use")


@scenario("S11", "the leader of etcd dies")
async def leader_lost(rig: Rig) -> None:
    active, _ = await rig.pair()
    async with rig.no_failover():
        for _ in range(rig.pick(2, 20)):
            await lose(rig, active, await rig.etcd.leader(), "kill leader")


@scenario("S12", "the active and the leader of etcd die at the same moment")
async def both_leaders(rig: Rig) -> None:
    active, standby = await rig.pair()
    member = await rig.etcd.leader()
    with rig.fault("kill both"):
        member.kill()
        active.kill()
        await rig.leads(standby)
    await member.start()
    await rig.restart(active)
    rig.expect(Cause.FIRST, Cause.PROCESS_DIED)


@scenario("S12-host", "the active's host and the leader of etcd, together", other_hosts=True)
async def both_leaders_elsewhere(rig: Rig) -> None:
    active, standby = await rig.pair()
    member = await rig.etcd.leader()
    with rig.fault("kill both"):
        member.kill()
        active.kill()
        await rig.leads(standby)
    await member.start()
    await rig.restart(active)
    rig.expect(Cause.FIRST, Cause.UNREACHABLE)


@scenario(
    "S12-late",
    "the leader of etcd dies a second before the lease of a dead active ends",
    other_hosts=True,
    ttl_s=4,
    env=NEVER_EARLY,
)
async def leader_lost_before_the_lease_ends(rig: Rig) -> None:
    """Nobody may replace it early; etcd's next leader lets the lease live for a TTL more."""
    active, standby = await rig.pair()
    member = await rig.etcd.leader()
    with rig.fault("kill both"):
        active.kill()
        await rig.quiet(rig.scenario.ttl_s - 1)
        member.kill()
        await rig.leads(standby)
    await member.start()
    await rig.restart(active)
    rig.expect(Cause.FIRST, Cause.LEASE_ENDED)


@scenario("S13", "all of etcd stops for less than the TTL")
async def outage(rig: Rig) -> None:
    active, _ = await rig.pair()
    async with rig.no_failover():
        rig.etcd.kill()
        await rig.quiet(rig.pick(3, 10))
        await rig.etcd.start()
        with rig.fault("after the quorum"):
            await rig.leads(active)


@scenario("S14", "all of etcd stops for three times the TTL", ttl_s=2, serve_lease_ms=500)
async def long_outage(rig: Rig) -> None:
    await rig.pair()
    rig.etcd.kill()
    stopped_s = boottime_s()
    await rig.quiet(6)
    answered = [
        one for one in rig.hammer.sightings().successes() if one.sent_s > stopped_s + _LAPSED_S
    ]
    assert not answered, f"answered without a serve lease: {answered[:3]}"
    assert all(each.running for each in rig.coordinators), "a process ended"
    await rig.etcd.start()
    with rig.fault("after the quorum"):
        await rig.leads(await rig.one_leads())
    assert all(each.running for each in rig.coordinators), "a process ended"


@scenario("S15", "etcd stops, the active dies, etcd starts")
async def death_in_outage(rig: Rig) -> None:
    active, standby = await rig.pair()
    rig.etcd.kill()
    active.kill()
    await rig.quiet(rig.pick(1, 10))
    await rig.etcd.start()
    with rig.fault("after the quorum"):
        await rig.leads(standby)
    await rig.restart(active)


@scenario("S16", "etcd is compacted while the standby's watch is cut")
async def compacted(rig: Rig) -> None:
    active, standby = await rig.pair()
    since = standby.log_size()
    async with rig.no_failover():
        await standby.etcd.cut()
        for _ in range(rig.pick(2, 10)):
            await rig.leads(active)
            await rig.compact()
        await standby.etcd.heal(drop=True)
        await standby.wait_line("etcd history lost, reading again", after=since)
        await rig.ready(standby)
    with rig.fault("kill"):
        active.kill()
        await rig.leads(standby)
    rig.expect(Cause.FIRST, Cause.PROCESS_DIED)
