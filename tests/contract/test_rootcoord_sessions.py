"""The sessions of proxies as a real etcd tells of them: coming, going, expiring, compacted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import BadValue
from milvus_coord.role.nodes.sessions import NodeChanges, NodeSessions
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdMember, EtcdOptions
from testing.fake_proxies import META_ROOT, FakeProxy, register, session_key, unregister
from testing.link import Link
from testing.rpc import eventually
from tests.conftest import StartEtcd
from tests.contract.etcd_helpers import SOON_S, connected, write

pytestmark = pytest.mark.etcd


class Roll:
    """What was told, each time anew."""

    def __init__(self) -> None:
        self.told: list[dict[int, str]] = []

    def __call__(self, changes: NodeChanges) -> None:
        self.told.append({id_: session.address for id_, session in changes.nodes.items()})

    async def shows(self, *server_ids: int) -> None:
        await eventually(
            lambda: bool(self.told) and sorted(self.told[-1]) == list(server_ids), within_s=SOON_S
        )


@asynccontextmanager
async def followed(etcd: Etcd) -> AsyncIterator[Roll]:
    roll = Roll()
    sessions = NodeSessions(etcd, SystemClock(), META_ROOT, "proxy", roll)
    task = asyncio.create_task(sessions.run(), name="sessions")
    try:
        yield roll
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def proxy(server_id: int, port: int = 19529) -> FakeProxy:
    fake = FakeProxy(server_id)
    fake.address = f"127.0.0.1:{port}"
    return fake


async def put_raw(client: EtcdClient, key: bytes, value: bytes) -> None:
    await client.txn(Txn((), (put(key, value),)), timeout_s=SOON_S)


async def test_those_who_were_there_who_come_who_change_and_who_go(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        await register(client, proxy(5))
        async with followed(client) as roll:
            await roll.shows(5)
            assert len(roll.told) == 1
            await register(client, proxy(12))
            await roll.shows(5, 12)
            await register(client, proxy(5, port=1000))
            await eventually(lambda: roll.told[-1][5] == "127.0.0.1:1000")
            await unregister(client, 5)
            await roll.shows(12)
            assert [sorted(each) for each in roll.told] == [[5], [5, 12], [5, 12], [12]]


async def test_nobody_there_is_told_too(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client, followed(client) as roll:
        await roll.shows()


async def test_a_proxy_whose_lease_expires_is_gone(start_etcd: StartEtcd) -> None:
    etcd = await start_etcd(1, EtcdOptions(heartbeat_ms=50, election_ms=500))
    async with connected(etcd.endpoints) as client, followed(client) as roll:
        lease = await client.lease_grant(1)
        await register(client, proxy(5), lease=lease.id)
        await register(client, proxy(6))
        await roll.shows(5, 6)
        await roll.shows(6)


async def test_keys_that_are_only_alike_are_nobodys_session(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client:
        for name in (b"proxyish", b"proxy-x", b"proxy-5/more"):
            await put_raw(client, b"by-dev/meta/session/" + name, proxy(9).session())
        async with followed(client) as roll:
            await roll.shows()
            await register(client, proxy(6))
            await roll.shows(6)


async def test_an_unreadable_session_is_nobody_but_leaves_a_known_proxy(etcd: EtcdMember) -> None:
    """A proxy whose key was damaged still writes: its ticks must be waited for."""
    async with connected(etcd.endpoints) as client:
        await put_raw(client, session_key(4), b"junk")
        async with followed(client) as roll:
            await roll.shows()
            await register(client, proxy(5))
            await roll.shows(5)
            await put_raw(client, session_key(5), b"junk")
            await register(client, proxy(6))
            await roll.shows(5, 6)
            await unregister(client, 5)
            await roll.shows(6)


@pytest.mark.parametrize(
    "value", [b"", b"[]", b'{"ServerID":"5","Address":"a:1"}', b'{"ServerID":5,"Address":"a"}']
)
def test_a_value_that_is_no_session_names_its_key(value: bytes) -> None:
    with pytest.raises(BadValue, match=r"^session/proxy-5 holds no session: "):
        SessionRecord.decode_callable(b"session/proxy-5", value)


async def test_what_was_missed_and_compacted_meanwhile_is_made_up_for(etcd: EtcdMember) -> None:
    async with (
        Link(etcd.client_endpoint) as link,
        connected((link.endpoint,)) as ours,
        connected(etcd.endpoints) as other,
    ):
        for server_id in (5, 6):
            await register(other, proxy(server_id))
        async with followed(ours) as roll:
            await roll.shows(5, 6)
            link.cut()
            await unregister(other, 5)
            await register(other, proxy(7))
            await register(other, proxy(6, port=1000))
            last = await write(other, b"elsewhere", b"1")
            await etcd.ctl("compact", str(last))
            assert len(roll.told) == 1
            await link.heal()
            await roll.shows(6, 7)
            assert roll.told[-1][6] == "127.0.0.1:1000"
            assert len(roll.told) == 2, "never told that nobody is there"
            await register(other, proxy(8))
            await roll.shows(6, 7, 8)


async def test_nobody_is_gone_because_etcd_is(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client, followed(client) as roll:
        await register(client, proxy(5))
        await roll.shows(5)
        await etcd.stop()
        await etcd.start()
        await register(client, proxy(6))
        await roll.shows(5, 6)
        assert all(5 in told for told in roll.told[1:])
