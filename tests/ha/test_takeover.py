"""The standby takes over; a client that hammers both sees one active at a time, and no value twice.

The lease ends after two seconds here, so that a takeover after kill -9 is seen soon; the serve
lease of half a second adds to it.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from testing.daemon import boottime_s
from testing.etcd import EtcdCluster, EtcdMember
from testing.hammer import Hammer
from testing.ours import OurRole
from testing.sightings import Method, Sightings
from tests.ha.conftest import StartRole, started_pair

ACTIVE_KEY = "by-dev/meta/session/rootcoord"


async def answers(hammer: Hammer, role: OurRole, count: int = 20) -> None:
    """Until `role` has handed out timestamps and ids so often, from now on."""
    since_s = boottime_s()

    def enough(seen: Sightings) -> bool:
        fresh = [
            [one for one in seen.successes(method, address=role.address) if one.sent_s > since_s]
            for method in (Method.ALLOC_TIMESTAMP, Method.ALLOC_ID)
        ]
        return len(fresh[0]) >= count and len(fresh[1]) >= count // 4

    await hammer.wait_until(enough, within_s=20)


async def taken_over(
    hammer: Hammer, former: OurRole, successor: OurRole, *, at_least: int = 20
) -> None:
    """The successor serves; over the whole run nothing was unsafe."""
    await successor.wait_active()
    await answers(hammer, successor)
    seen = hammer.sightings()
    seen.check_tenures(former.address, successor.address)
    seen.check_values(Method.ALLOC_TIMESTAMP, at_least=at_least)
    seen.check_values(Method.ALLOC_ID, at_least=at_least // 5)


async def test_sigterm_hands_over_without_waiting_for_any_lease(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    await standby.wait_line("STANDBY")
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        await handover_published(etcd, standby)
        active.terminate()
        assert await active.wait_exit() == 0
        await taken_over(hammer, active, standby)
        gap = hammer.sightings().longest_gap()
    assert active.lines("handed over"), "the key was not given to the standby directly"
    assert gap.length_s < 5, "waited for a lease"
    assert "rootcoord-1" not in await etcd.ctl("get", "--prefix", ACTIVE_KEY, "--keys-only")


async def handover_published(etcd: EtcdMember, standby: OurRole) -> None:
    """Until the active may have heard of the standby: its status was written twice."""
    key = "by-dev/meta/ha/rootcoord/instance-"
    async with asyncio.timeout(30):
        while '"Version":3' not in (await etcd.ctl("get", "--prefix", key, "-w", "fields")).replace(
            '" : ', '":'
        ):
            await asyncio.sleep(0.05)


def tells(standby: OurRole, first: str) -> None:
    """The log of a takeover, in Milvus' words."""
    wanted = [
        first,
        r"""\["stop watching ACTIVE key"\]""",
        r"""\["start retrying to register as ACTIVE service..."\]""",
        r"""\["register ACTIVE service successfully"\] \[ServerID=2\]""",
        r"""\["quit STANDBY mode, this node will become ACTIVE"\]""",
        r"""\["rootcoord switch from standby to active, activating"\]""",
        r"""\["RootCoord Register Finished"\]""",
        r"""\[DEBUG\].*\["RootCoord start done ..."\]""",
        r"""\[DEBUG\].*\["RootCoord successfully started"\]""",
    ]
    found = standby.lines("|".join(wanted))
    assert len(found) == len(wanted), found
    for line, pattern in zip(found, wanted, strict=True):
        assert re.search(pattern, line), f"{line} where {pattern} was expected"


async def test_kill_9_is_outlived_by_the_standby(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=60)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        active.kill()
        await taken_over(hammer, active, standby)
    tells(standby, r"""\["the active's process has ended"\]""")
    assert standby.lines(r"process-died"), "was replaced on suspicion, though its death is seen"


async def test_lease_revoked_by_hand(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        fields = await etcd.ctl("get", ACTIVE_KEY, "-w", "fields")
        lease = next(line for line in fields.splitlines() if line.startswith('"Lease"'))
        await etcd.ctl("lease", "revoke", f"{int(lease.rpartition(':')[2]):x}")
        await taken_over(hammer, active, standby)
        await active.wait_standby()
        await active.wait_line("session lost, registering again")
    tells(
        standby,
        r"""\["watch the ACTIVE key"\] \[DELETE="key:..by-dev/meta/session/rootcoord.. mod""",
    )


async def test_key_deleted_by_hand(etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        await etcd.ctl("del", ACTIVE_KEY)
        await active.wait_line("stepping down.*(was deleted at revision|is no longer ours|refused)")
        await settled(hammer, active, standby)


async def test_key_overwritten_with_junk(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        await etcd.ctl("put", ACTIVE_KEY, "{junk")
        await active.wait_line("stepping down.*(was written by another|is no longer ours|refused)")
        await settled(hammer, active, standby)
    assert standby.lines("a session key is not readable.*{junk")
    assert '"ServerName":"rootcoord"' in await etcd.ctl("get", ACTIVE_KEY)


async def settled(hammer: Hammer, former: OurRole, other: OurRole) -> None:
    """Either of the two leads again, by a new term; the run was safe."""
    size = {
        role: len(role.lines("register ACTIVE service successfully")) for role in (former, other)
    }
    assert size[former] >= 1
    async with asyncio.timeout(20):
        while True:
            terms = sum(len(r.lines("RootCoord Register Finished")) for r in (former, other))
            if terms >= 2:
                break
            await asyncio.sleep(0.02)
    after_s = max(one.received_s for one in hammer.sightings().tries)
    leader = other if other.lines("RootCoord Register Finished") else former
    await hammer.wait_success(leader.address, after_s=after_s)
    await answers(hammer, leader)
    seen = hammer.sightings()
    seen.check_values(Method.ALLOC_TIMESTAMP, at_least=20)
    seen.check_values(Method.ALLOC_ID, at_least=4)
    assert len(seen.tenures()) <= 2


async def test_three_members_kill_9(
    etcd3: EtcdCluster, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd3.endpoints)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        active.kill()
        await taken_over(hammer, active, standby)


async def test_active_frozen_beyond_its_ttl_hands_out_nothing_when_it_wakes(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        active.pause()
        await standby.wait_active()
        await hammer.wait_success(standby.address)
        active.resume()
        await active.wait_line("stepping down")
        await active.wait_standby()
        await taken_over(hammer, active, standby)
        asked_s = boottime_s()
        standby.terminate()
        await active.wait_active()
        await hammer.wait_success(active.address, after_s=asked_s)
        hammer.sightings().check_tenures(active.address, standby.address, active.address)
