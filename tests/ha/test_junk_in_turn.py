"""Each key that a pair with metadata has in etcd is junk in turn: no process ends, and it heals.

Junk under keys that are not there is for `test_junk_keys`.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import LeaseNotFound
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.pair.keys import Keys
from testing.access import grant_entity
from testing.ddl_callers import collection, partition
from testing.ddl_client import Outcome, RootClient
from testing.ddl_scene import scene
from testing.etcd import EtcdMember
from testing.mirror_check import check_mirrors
from tests.ha.conftest import StartRole, started_pair

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(300)]

KEYS: Final = Keys("by-dev/meta", "rootcoord")
JUNK: Final = {
    "digits": b'{"ServerID":1,"nonce":"x","epoch":%s}' % (b"9" * 5000),
    "depth": b"[" * 100_000,
    "bytes": b"\xff" * 8,
    "large": b"7" * 1_000_000,
}


async def with_metadata(client: RootClient) -> None:
    """Some of each kind."""
    await client.ask("CreateDatabase", db_name="d")
    await client.ask("CreateCollection", **collection("c"))
    await client.ask("CreatePartition", **partition("c", "p"))
    await client.ask("CreateAlias", collection_name="c", alias="a")
    await client.ask("CreateCredential", username="ann", encrypted_password="$2a$04$x")
    await client.ask("CreateRole", entity={"name": "r"})
    await client.ask("OperateUserRole", username="ann", role_name="r", type=0)
    await client.ask("OperatePrivilege", entity=grant_entity(), type=0)


async def mend(etcd: EtcdClient, kv: KeyValue) -> None:
    """As it was; a key whose holder has gone meanwhile is deleted."""
    try:
        await etcd.txn(Txn((), (put(kv.key, kv.value, kv.lease),)))
    except LeaseNotFound:
        await etcd.txn(Txn((), (delete(kv.key),)))


@pytest.mark.parametrize("kind", JUNK)
async def test_each_key_is_junk_in_turn(
    etcd: EtcdMember, rootcoord: StartRole, client: EtcdClient, kind: str
) -> None:
    async with scene(etcd.endpoints) as playing:
        pair = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=5)
        await with_metadata(playing.client)
        for key in [kv.key for kv in (await client.range(b"by-dev/")).kvs]:
            if (kv := (await client.get(key)).kv) is None:
                continue
            await client.txn(Txn((), (put(key, JUNK[kind], kv.lease),)))
            if key != KEYS.active:
                await playing.client.persist("AllocTimestamp", count=1)
            await mend(client, kv)
            await playing.client.persist("AllocTimestamp", count=1)
            for one in pair:
                one.check(one.running, f"ended by junk under {key!r}")
        await playing.client.ask("DescribeCollection", collection_name="a")
        await check_mirrors(etcd.endpoints, *pair)


@pytest.mark.parametrize("kind", JUNK)
async def test_all_metadata_is_junk_while_another_takes_over(
    etcd: EtcdMember, rootcoord: StartRole, client: EtcdClient, kind: str
) -> None:
    async with scene(etcd.endpoints) as playing:
        active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=5)
        await with_metadata(playing.client)
        found = (await client.range(b"by-dev/meta/root-coord/")).kvs
        for kv in found:
            await client.txn(Txn((), (put(kv.key, JUNK[kind]),)))
        active.terminate()
        assert await active.wait_exit() == 0
        await standby.wait_active()
        await playing.client.persist("AllocTimestamp", count=1)
        unknown = await playing.client.persist("DescribeCollection", collection_name="a")
        assert unknown.outcome is Outcome.REFUSED
        for kv in found:
            if kv.value and not any(part in kv.key for part in NOT_READ):
                assert standby.lines(f"is damaged.*{re.escape(kv.key.decode())}"), kv.key
            await mend(client, kv)
        active.start()
        await active.wait_standby()
        await playing.client.ask("DescribeCollection", collection_name="a")
        await check_mirrors(etcd.endpoints, active, standby)


@pytest.mark.parametrize("key", ["by-dev/kv/tso/timestamp", "by-dev/kv/gid/idTimestamp"])
async def test_a_bound_that_becomes_junk_is_written_over_by_who_leads(
    etcd: EtcdMember, rootcoord: StartRole, client: EtcdClient, key: str
) -> None:
    active = rootcoord(etcd.endpoints)
    active.start()
    await active.wait_active()
    async with scene(etcd.endpoints) as playing, asyncio.timeout(30):
        first = await playing.client.ask("AllocID", count=1)
        await client.txn(Txn((), (put(key.encode(), b"short"),)))
        while (kv := (await client.get(key.encode())).kv) is None or kv.value == b"short":
            await playing.client.ask("AllocTimestamp", count=1)
            last = await playing.client.ask("AllocID", count=200_000)
            assert last.ID > first.ID
    assert not active.lines("stepping down")


NOT_READ: Final = (b"/credential/",)
"""The values of roles and the like mean nothing; a user and a grantee are taken as none."""
