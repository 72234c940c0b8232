"""Following a pair: twin and real etcd, instances that go silent, junk, members and their list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.role_follower import STALE_S, RoleFollower
from milvus_coord.ha.pair.snapshot_reducer import read_role
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdCluster, EtcdMember
from testing.fake_pair import META_ROOT, FakeInstance, fake_pair, saying, status_of
from tests.contract.etcd_helpers import connected

ROLES = ("rootcoord", "datacoord")


@pytest.fixture(params=["memory", "etcd"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Etcd]:
    if request.param == "memory":
        yield MemoryEtcd(SystemClock())
        return
    member = EtcdMember("solo", tmp_path / "etcd")
    try:
        await member.start()
        async with connected(member.endpoints) as client:
            yield client
    finally:
        member.kill()


@asynccontextmanager
async def followed(etcd: Etcd) -> AsyncIterator[RoleFollower]:
    follower = RoleFollower(etcd, SystemClock(), META_ROOT, ROLES)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(follower.run(), name="look")
        yield follower
        running.cancel()


async def test_all_fit_instances_are_judged_within_their_second(store: Etcd) -> None:
    pair = await fake_pair(store)
    async with saying(*pair), followed(store) as follower:
        await follower.listed(5)
        began_s = asyncio.get_running_loop().time()
        await follower.statuses_fresh()
        took_s = asyncio.get_running_loop().time() - began_s
    assert took_s < STALE_S / 2, "waited although everybody had spoken"
    assert not any(follower.stale("rootcoord", one.server_id) for one in pair)
    assert follower.snapshot("rootcoord").epoch == (await read_role(store, pair[0].keys)).epoch
    assert not follower.snapshot("datacoord").exists


async def test_one_that_says_nothing_more_is_stale_though_its_lease_lives(store: Etcd) -> None:
    a, b = await fake_pair(store)
    async with saying(a), followed(store) as follower:
        await follower.listed(5)
        await follower.statuses_fresh()
        silent_s = follower.silent_s("rootcoord", 8)
        assert follower.stale("rootcoord", 8)
        assert not follower.stale("rootcoord", 7)
        assert silent_s is not None
        assert STALE_S <= silent_s < STALE_S + 1
        await b.say()
        async with asyncio.timeout(5):
            while follower.stale("rootcoord", 8):
                await follower.changed.wait()


async def test_those_who_leave_are_gone(store: Etcd) -> None:
    pair = await fake_pair(store)
    go = FakeInstance(store, Keys(META_ROOT, "datacoord"), status_of(3), ours=False)
    await go.join()
    async with followed(store) as follower:
        await follower.listed(5)
        assert {one.server_id for one in follower.snapshot("rootcoord").instances} == {7, 8}
        assert follower.silent_s("datacoord", 3) is None, "Go says nothing"
        await pair[1].leave()
        async with asyncio.timeout(5):
            while follower.snapshot("rootcoord").standbys:
                await follower.changed.wait()
        assert follower.silent_s("rootcoord", 8) is None


async def test_an_etcd_that_does_not_list_is_said_to() -> None:
    etcd = MemoryEtcd(SystemClock())
    etcd.partition(silent=True)
    async with followed(etcd) as follower:
        with pytest.raises(Unavailable, match="did not list the keys of rootcoord, datacoord"):
            await follower.listed(0.1)


async def test_the_members_of_one(store: Etcd) -> None:
    (member,) = await store.members()
    assert not member.is_learner
    assert len(member.client_urls) == 1


async def test_the_members_of_three_are_told_by_any_of_them(etcd3: EtcdCluster) -> None:
    async with connected(etcd3.endpoints[:1]) as client:
        members = await client.members()
    assert {member.name for member in members} == {"m0", "m1", "m2"}
    urls = {url.removeprefix("http://") for member in members for url in member.client_urls}
    assert urls == set(etcd3.endpoints)
