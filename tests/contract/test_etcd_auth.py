"""Users, passwords and tokens that run out."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.client.rpc import pb
from milvus_coord.etcd.errors import AuthFailed, LeaseNotFound, PermissionDenied
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdCluster, EtcdMember, EtcdOptions
from tests.conftest import StartEtcd
from tests.contract.etcd_helpers import SOON_S, connected, numbers, write

pytestmark = pytest.mark.etcd

ROOT = "--user=root:rootpw"
TOKEN_TTL_S = 1


@pytest.fixture
async def guarded(start_etcd: StartEtcd) -> EtcdCluster:
    """An etcd with user `coord`, who may use `mine/` and `n`; tokens last a second."""
    options = EtcdOptions(extra_args=(f"--auth-token-ttl={TOKEN_TTL_S}", "--bcrypt-cost=4"))
    etcd = await start_etcd(1, options)
    for command in (
        "user add root:rootpw",
        "user grant-role root root",
        "role add coord",
        "role grant-permission coord --prefix=true readwrite mine/",
        "role grant-permission coord readwrite n",
        "user add coord:pw",
        "user grant-role coord coord",
        "auth enable",
    ):
        await etcd.ctl(*command.split())
    return etcd


def as_coord(etcd: EtcdCluster, password: str = "pw") -> EtcdSettings:
    return EtcdSettings(etcd.endpoints, user="coord", password=password)


async def token_is_gone(etcd: EtcdCluster, token: str | None) -> None:
    """Wait until etcd has forgotten the token: asked by a client that does not renew it."""
    async with grpc.aio.insecure_channel(etcd.client_endpoint) as channel:
        stub = pb.KVStub(channel)
        async with asyncio.timeout(SOON_S):
            while True:
                # Each use lengthens a token's life, so ask more seldom than it lasts.
                await asyncio.sleep(TOKEN_TTL_S * 1.5)
                if await _is_unknown(stub, token):
                    return


async def _is_unknown(stub: Any, token: str | None) -> bool:
    try:
        await stub.Range(pb.RangeRequest(key=b"n"), metadata=(("token", token),))
    except grpc.aio.AioRpcError as error:
        return error.details() == "etcdserver: invalid auth token"
    return False


async def test_a_user_may_do_what_the_role_says(guarded: EtcdCluster) -> None:
    async with connected(guarded.endpoints, as_coord(guarded)) as client:
        await write(client, b"mine/k", b"1")
        with pytest.raises(PermissionDenied, match="transaction"):
            await write(client, b"other", b"1")
        with pytest.raises(PermissionDenied):
            await client.get(b"other")
        lease = await client.lease_grant(60)
        assert await client.keep_alive_once(lease.id, timeout_s=SOON_S) == 60
        (status,) = await client.status()
        assert status.is_leader


async def test_a_wrong_password_is_final(guarded: EtcdCluster) -> None:
    client = EtcdClient(as_coord(guarded, "wrong"), SystemClock())
    with pytest.raises(AuthFailed, match="invalid user ID or password"):
        await client.connect()
    with pytest.raises(AuthFailed):
        await client.txn(Txn((), (put(b"mine/k", b"1"),)))
    await client.close()


async def test_no_user_at_all_is_told_to_name_one(guarded: EtcdCluster) -> None:
    async with connected(guarded.endpoints) as client:
        with pytest.raises(AuthFailed, match="user name is empty"):
            await client.get(b"mine/k")


async def test_expired_tokens_are_renewed_for_calls_of_every_kind(guarded: EtcdCluster) -> None:
    async with connected(guarded.endpoints, as_coord(guarded)) as client:
        lease = await client.lease_grant(60)
        await client.keep_alive_once(lease.id, timeout_s=SOON_S)
        member = client._data.current
        token = member.token
        await token_is_gone(guarded, token)
        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(write(client, b"mine/%d" % number, b"1"), name="write")
                tasks.create_task(client.get(b"mine/x"), name="read")
        assert member.token != token
        assert await client.keep_alive_once(lease.id, timeout_s=SOON_S) == 60
        await client.lease_revoke(lease.id)


async def test_expired_tokens_are_renewed_for_new_watches(guarded: EtcdCluster) -> None:
    async with connected(guarded.endpoints, as_coord(guarded)) as client:
        await write(client, b"n", b"1")
        await token_is_gone(guarded, client._data.current.token)
        async with aclosing(client.watch(b"n", start_revision=1)) as watch:
            assert await numbers(watch, 1) == [1]


async def test_tokens_of_an_etcd_that_was_restored_are_forgotten(
    guarded: EtcdCluster, tmp_path: Path
) -> None:
    """etcd lets a call wait whose token names an index of raft that it has not come to yet."""
    (member,) = guarded.members
    async with connected(guarded.endpoints, as_coord(guarded)) as growing:
        for number in range(150):
            await write(growing, b"n", b"%d" % number)
    async with connected(guarded.endpoints, as_coord(guarded)) as client:
        lease = await client.lease_grant(60)
        await client.keep_alive_once(lease.id, timeout_s=SOON_S)
        await member.ctl(ROOT, "snapshot", "save", str(tmp_path / "backup.db"))
        await member.restore(tmp_path / "backup.db")
        await member.start()
        assert (await client.get(b"n", timeout_s=SOON_S)).kv is not None
        with suppress(LeaseNotFound):
            await client.keep_alive_once(lease.id, timeout_s=SOON_S)


async def test_tokens_and_watches_outlive_a_restart(guarded: EtcdCluster) -> None:
    (member,) = guarded.members
    async with (
        connected(guarded.endpoints, as_coord(guarded)) as client,
        aclosing(client.watch(b"n", start_revision=1)) as watch,
    ):
        await write(client, b"n", b"1")
        assert await numbers(watch, 1) == [1]
        await member.restart()
        await write(client, b"n", b"2")
        assert await numbers(watch, 2) == [2]


async def test_a_watch_that_is_not_permitted_says_so(guarded: EtcdCluster) -> None:
    async with (
        connected(guarded.endpoints, as_coord(guarded)) as client,
        aclosing(client.watch(b"other", start_revision=1)) as watch,
    ):
        for _ in range(2):
            with pytest.raises(PermissionDenied, match="watch of other"):
                await asyncio.wait_for(anext(watch), SOON_S)


async def test_a_user_for_an_etcd_without_auth_is_no_trouble(etcd: EtcdMember) -> None:
    settings = EtcdSettings(etcd.endpoints, user="coord", password="pw")
    async with connected(etcd.endpoints, settings) as client:
        await write(client, b"k", b"1")
        for command in ("user add root:rootpw", "user grant-role root root", "user add coord:pw"):
            await etcd.ctl(*command.split())
        await etcd.ctl("user", "grant-role", "coord", "root")
        await etcd.ctl("auth", "enable")
        await write(client, b"k", b"2")
        await etcd.ctl(ROOT, "auth", "disable")
        await write(client, b"k", b"3")
