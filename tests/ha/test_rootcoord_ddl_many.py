"""A takeover with thousands of collections, and a thousand callers who want the same one."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import replace

from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.txn import Op, Txn
from milvus_coord.model.collection import CollectionState
from testing.daemon import boottime_s
from testing.ddl_callers import collection as wanted
from testing.ddl_client import Outcome, RootClient, Try, always
from testing.ddl_scene import scene
from testing.ddl_stored import Stored
from testing.etcd import EtcdMember
from testing.metadata import META_ROOT, collection, partition, ts
from tests.ha.conftest import StartRole, started_pair

COLLECTIONS = 2_000
FIRST_ID = 1_000
CALLERS = 1_000
CONNECTIONS = 8
_SENT_BYTES = re.compile(r"^etcd_network_client_grpc_sent_bytes_total (\S+)", re.MULTILINE)


async def fill(etcd: EtcdClient) -> int:
    """Put collections where a former leader would have; how many bytes they are."""
    catalog = Catalog(META_ROOT)
    ops: list[Op] = []
    for id_ in range(FIRST_ID, FIRST_ID + COLLECTIONS):
        creating = collection(id_, state=CollectionState.CREATING)
        parts = [partition(id_, 10 * id_, "_default")]
        for transaction in catalog.create_collection(creating, parts, ts(1)):
            ops += transaction
        created = replace(creating, state=CollectionState.CREATED)
        put = catalog.put_collection(created, ts(1))[0]
        ops = [op for op in ops if op.key not in {each.key for each in put}] + [*put]
        if len(ops) > 100:
            await etcd.txn(Txn((), tuple(ops)))
            ops = []
    await etcd.txn(Txn((), tuple(ops)))
    stored = await etcd.range(catalog.prefix)
    return sum(len(kv.key) + len(kv.value) for kv in stored.kvs)


async def sent_bytes(etcd: EtcdMember) -> int:
    """What etcd has sent to all clients so far, as it counts itself."""
    found = _SENT_BYTES.search(await metrics(etcd))
    assert found
    return int(float(found[1]))


async def metrics(etcd: EtcdMember) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", etcd.metrics_port)
    try:
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        return (await reader.read()).decode()
    finally:
        writer.close()


async def test_standby_takes_over_without_reading_any_metadata(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    async with scene(etcd.endpoints) as playing:
        size = await fill(playing.etcd)
        active, standby = await started_pair(rootcoord, etcd.endpoints)
        read = rf'mirror read.*prefix="?{META_ROOT}/root-coord/'
        (line,) = standby.lines(read)
        keys = re.search(r"keys=(\d+)", line)
        assert keys
        assert int(keys[1]) >= 6 * COLLECTIONS, line
        client = RootClient(always(standby.address))
        before, killed_s = await sent_bytes(etcd), boottime_s()
        active.kill()
        name = f"c{FIRST_ID + COLLECTIONS - 1}"
        described = await client.ask("DescribeCollection", collection_name=name)
        took_s, sent = boottime_s() - killed_s, await sent_bytes(etcd) - before
        print(f"{took_s:.3f} s from kill -9 to DescribeCollection, etcd sent {sent} of {size} B")
        shown = await client.ask("ShowCollections")
        client.close()
    assert described.collectionID == FIRST_ID + COLLECTIONS - 1
    assert len(shown.collection_names) == COLLECTIONS
    assert standby.lines(read) == [line], "read its metadata again"
    assert sent < size / 4, f"etcd sent {sent} bytes, the metadata has {size}"


async def test_a_thousand_creates_of_one_name_make_one_collection(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    """One in ten wants it otherwise: all who want what comes to be get it, the others a refusal."""
    async with scene(etcd.endpoints) as playing:
        role = rootcoord(etcd.endpoints)
        role.start()
        await role.wait_active()
        clients = [RootClient(always(role.address), try_s=20.0) for _ in range(CONNECTIONS)]

        def create(number: int) -> asyncio.Task[Try]:
            fields = wanted("one", dim=32 if number % 10 == 9 else 16)
            client = clients[number % CONNECTIONS]
            return asyncio.create_task(client.persist("CreateCollection", within_s=60.0, **fields))

        tries = await asyncio.gather(*map(create, range(CALLERS)))
        for client in clients:
            client.close()
        stored = await Stored.clean(playing.etcd)
        watched = playing.datacoord.requests("WatchChannels")
    outcomes = Counter(tried.outcome for tried in tries)
    assert sorted(outcomes.values()) == [CALLERS // 10, CALLERS * 9 // 10], outcomes
    for tried in tries:
        refused = "create duplicate collection with different parameters, collection: one"
        assert tried.outcome is Outcome.OK or refused in tried.detail
    (record,) = stored.collections.values()
    assert [each.collection_id for each in watched] == [record.ID]
    assert len(stored.partitions[record.ID]) == 1
    assert stored.partitions.keys() == stored.fields.keys() == {record.ID}
