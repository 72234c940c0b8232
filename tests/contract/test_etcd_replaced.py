"""The client on an etcd that is restored, made anew, or mixed up with another one."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import aclosing
from pathlib import Path

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import Compacted, LeaseNotFound, Unavailable
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Txn, mod_revision_is, put
from milvus_coord.etcd.values import Listing
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdCluster, EtcdMember
from testing.following import following
from tests.contract.etcd_helpers import SOON_S, connected, write

pytestmark = pytest.mark.etcd


async def grown(etcd: EtcdMember, revisions: int) -> None:
    """Start it, and write that often."""
    await etcd.start()
    async with connected(etcd.endpoints) as client:
        for number in range(revisions):
            await write(client, b"grown", b"%d" % number)


async def swap(etcd: EtcdMember, other: EtcdMember) -> None:
    """Stop both, and give the data of `other` to `etcd`."""
    await other.stop()
    await etcd.forget()
    await asyncio.to_thread(shutil.move, other.directory / "data", etcd.directory / "data")


async def said_again(client: EtcdClient, etcd: EtcdMember) -> None:
    """Start the etcd; the client finds out, before any transaction gets there."""
    version = client.replaced.version()
    guess = Txn((mod_revision_is(b"f/lost", 0),), (put(b"f/late", b"1"),))
    sending = asyncio.create_task(_persist(client, guess))
    await etcd.start()
    async with asyncio.timeout(SOON_S):
        await sending
    assert client.replaced.version() == version + 1


async def _persist(client: EtcdClient, txn: Txn) -> None:
    """Send until it is answered; by then it must be known that the store is another one."""
    version = client.replaced.version()
    while True:
        try:
            result = await client.txn(txn, timeout_s=1.0)
        except Unavailable:
            continue
        assert client.replaced.version() > version
        assert result.succeeded
        return


@pytest.mark.parametrize("token", ["", "--initial-cluster-token=other"])
@pytest.mark.parametrize("ahead", [0, 50])
async def test_restored_from_a_backup(
    etcd: EtcdMember, tmp_path: Path, ahead: int, token: str
) -> None:
    """Behind or ahead of what the client has seen; of the same cluster id, or of another."""
    async with connected(etcd.endpoints) as client:
        await write(client, b"f/kept", b"1")
        backup = await etcd.snapshot(tmp_path / "backup.db")
        lease = await client.lease_grant(60)
        await write(client, b"f/lost", b"1")
        async with following(client, SystemClock(), b"f/") as news:
            listing = await asyncio.wait_for(news.get(), SOON_S)
            assert isinstance(listing, Listing)
            await etcd.restore(backup, *([token] if token else []))
            if ahead:
                await grown(etcd_elsewhere := elsewhere(etcd), ahead)
                await etcd_elsewhere.stop()
            await said_again(client, etcd)
            again = await asyncio.wait_for(news.get(), SOON_S)
            assert isinstance(again, Listing)
            assert {kv.key for kv in again.kvs} >= {b"f/kept"}
            assert b"f/lost" not in {kv.key for kv in again.kvs}
            assert (again.revision > listing.revision) == bool(ahead)
        with pytest.raises(LeaseNotFound):
            await client.keep_alive_once(lease.id, timeout_s=SOON_S)


def elsewhere(etcd: EtcdMember) -> EtcdMember:
    """The same member on other ports, where its clients do not look."""
    return EtcdMember(etcd.name, etcd.directory)


async def test_made_anew_and_empty(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        revision = await write(client, b"f/lost", b"1")
        async with aclosing(client.watch(b"f/lost", start_revision=revision + 1)) as watch:
            waiting = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(0)
            await etcd.forget()
            await said_again(client, etcd)
            with pytest.raises(Compacted):
                await asyncio.wait_for(waiting, SOON_S)
        assert (await client.get(b"f/lost")).kv is None


async def test_a_restart_is_no_replacement(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        for number in range(3):
            await write(client, b"n", b"%d" % number)
            await etcd.restart()
            await etcd.ctl("put", "n", "other")
            assert (await client.get(b"n", timeout_s=SOON_S)).kv
        assert client.replaced.version() == 0


async def test_two_clusters_in_one_list(etcd: EtcdMember, tmp_path: Path) -> None:
    other = EtcdMember("other", tmp_path / "other")
    try:
        await grown(other, 50)
        endpoints = (etcd.client_endpoint, other.client_endpoint)
        client = EtcdClient(EtcdSettings(endpoints, attempt_timeout_s=0.5), SystemClock())
        await client.connect()
        try:
            await write(client, b"f/ours", b"1")
            first, second = await client.status()
            assert first.cluster_id != second.cluster_id
            lease = await client.lease_grant(60)
            etcd.kill()
            for _ in range(3):
                with pytest.raises(Unavailable, match="belongs to cluster"):
                    await client.get(b"f/ours", timeout_s=1.0)
                with pytest.raises(Unavailable):
                    await client.txn(Txn((), (put(b"f/new", b"1"),)), timeout_s=1.0)
                with pytest.raises(Unavailable):
                    await client.keep_alive_once(lease.id, timeout_s=1.0)
            assert "f/new" not in await other.ctl("get", "--prefix", "f/")
            await etcd.start()
            assert (await client.get(b"f/ours", timeout_s=SOON_S)).kv is not None
            assert client.replaced.version() == 0
        finally:
            await client.close()
    finally:
        other.kill()


async def test_a_member_with_a_foreign_data_folder(etcd3: EtcdCluster, tmp_path: Path) -> None:
    ill, *_ = etcd3.members
    other = EtcdMember("other", tmp_path / "other")
    try:
        await grown(other, 50)
        async with connected(etcd3.endpoints) as client:
            await write(client, b"f/ours", b"1")
            await swap(ill, other)
            await ill.start()
            for number in range(10):
                await write(client, b"f/%d" % number, b"1")
                assert (await client.get(b"f/ours", timeout_s=SOON_S)).kv is not None
            assert len({member.cluster_id for member in await client.status()}) == 2
            assert client.replaced.version() == 0
        assert "f/" not in await ill.ctl("get", "--prefix", "f/", "--keys-only")
    finally:
        other.kill()
