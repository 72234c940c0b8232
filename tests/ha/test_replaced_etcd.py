"""A pair whose etcd is restored from a backup, made anew, or mixed up with another one."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from milvus_coord.cli.mirror_verdict import Finding
from testing.cli import milvus
from testing.ddl_client import Outcome, RootClient, always
from testing.etcd import EtcdCluster, EtcdMember
from testing.mirror_check import verdicts_on
from testing.ours import OurRole
from tests.contract.etcd_helpers import connected, write
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_etcd_trouble import epoch_of, one_leads

REPLACED = "etcd was replaced or restored, everything is read again"
FOREIGN = "etcd endpoint belongs to another cluster, it is not used"
GONE = "etcd holds no metadata any more"
AGAIN = "etcd was replaced, registering again"
"""Said once the term of before has ended; until then its leader may still say that it leads."""


async def create(role: OurRole, name: str) -> None:
    client = RootClient(always(role.address))
    try:
        await client.ask("CreateRole", entity={"name": name})
    finally:
        client.close()


async def roles_of(role: OurRole) -> set[str]:
    """The names that users see."""
    client = RootClient(always(role.address))
    try:
        reply = await client.ask("SelectRole")
        return {each.role.name for each in reply.results}
    finally:
        client.close()


async def mirrors_equal(etcd: EtcdMember | EtcdCluster, *roles: OurRole) -> None:
    """Wait until `check mirror` is content with all of them."""
    async with asyncio.timeout(20):
        while True:
            found = await verdicts_on(etcd.endpoints, roles)
            if {each.finding for each in found} == {Finding.EQUAL} and len(found) == len(roles):
                return
            await asyncio.sleep(0.05)


async def grown(etcd: EtcdMember, revisions: int) -> None:
    """Let it come that much further, on ports where nobody looks."""
    elsewhere = EtcdMember(etcd.name, etcd.directory)
    await elsewhere.start()
    async with connected(elsewhere.endpoints) as client:
        for number in range(revisions):
            await write(client, b"by-dev/meta/grown", b"%d" % number)
    await elsewhere.stop()


@pytest.mark.parametrize("token", ["", "--initial-cluster-token=other"])
@pytest.mark.parametrize("ahead", [0, 500])
async def test_restored_from_a_backup(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path, ahead: int, token: str
) -> None:
    """The backup is of the same term, and holds the sessions and the active key."""
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=60)
    await create(active, "kept")
    backup = await etcd.snapshot(tmp_path / "backup.db")
    await create(active, "lost")
    before = await epoch_of(active)
    await etcd.restore(backup, *([token] if token else []))
    if ahead:
        await grown(etcd, ahead)
    await etcd.start()
    for role in (active, standby):
        await role.wait_line(REPLACED)
        await role.wait_line(AGAIN)
    leader = await one_leads(active, standby)
    await mirrors_equal(etcd, active, standby)
    assert await epoch_of(leader) != before
    names = await roles_of(leader)
    assert "kept" in names
    assert "lost" not in names
    other = standby if leader is active else active
    leader.terminate()
    await other.wait_active()
    assert await roles_of(other) == names
    assert len(active.lines(REPLACED)) == len(standby.lines(REPLACED)) == 1


async def test_made_anew_and_empty(etcd: EtcdMember, rootcoord: StartRole) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=60)
    await create(active, "lost")
    await etcd.forget()
    await etcd.start()
    for role in (active, standby):
        await role.wait_line(GONE)
        await role.wait_line(AGAIN)
    leader = await one_leads(active, standby)
    await mirrors_equal(etcd, active, standby)
    assert "lost" not in await roles_of(leader)
    assert "lost" not in await etcd.ctl("get", "--prefix", "by-dev/", "--keys-only")


async def test_two_clusters_in_one_list(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    """When ours dies nothing of the other is served; `doctor` is bad before."""
    other = EtcdMember("other", tmp_path / "other")
    try:
        await other.start()
        endpoints = (*etcd.endpoints, *other.endpoints)
        active, standby = await started_pair(rootcoord, endpoints, session_ttl_s=60)
        await create(active, "ours")
        said = await milvus("doctor", "rootcoord", etcd=endpoints)
        assert said.code == 3
        assert "belong to 2 clusters" in said.out
        for role in (active, standby):
            await role.wait_line(FOREIGN)
        etcd.kill()
        await active.wait_line("serve lease lapsed, refusing requests")
        client = RootClient(always(active.address))
        tried = await client.attempt("SelectRole")
        client.close()
        assert tried.outcome is not Outcome.OK
        assert "by-dev" not in await other.ctl("get", "--prefix", "", "--keys-only")
        await etcd.start()
        leader = await one_leads(active, standby)
        assert "ours" in await roles_of(leader)
        assert not active.lines(REPLACED)
        assert len(active.lines(FOREIGN)) == 1
    finally:
        other.kill()


async def test_a_member_with_a_foreign_data_folder(
    etcd3: EtcdCluster, rootcoord: StartRole, tmp_path: Path
) -> None:
    other, ill = EtcdMember("other", tmp_path / "other"), etcd3.members[0]
    try:
        await other.start()
        await other.ctl("put", "by-dev/meta/root-coord/foreign", "1")
        active, standby = await started_pair(rootcoord, etcd3.endpoints, session_ttl_s=60)
        await create(active, "ours")
        await other.stop()
        await ill.forget()
        await asyncio.to_thread(shutil.move, other.directory / "data", ill.directory / "data")
        await ill.start()
        for role in (active, standby):
            await role.wait_line(FOREIGN)
        said = await milvus("doctor", "rootcoord", etcd=etcd3.endpoints)
        assert said.code == 3
        assert "belong to 2 clusters" in said.out
        leader = await one_leads(active, standby)
        assert "ours" in await roles_of(leader)
        await create(leader, "more")
        assert "session" not in await ill.ctl("get", "--prefix", "by-dev/", "--keys-only")
        assert not active.lines(REPLACED)
        assert not standby.lines(REPLACED)
    finally:
        other.kill()
