"""Our records and those of Go 2.2.16 are the same bytes under the same keys, both ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from milvus_coord.coordinators.rootcoord.metadata import events
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import TOMBSTONE
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.txn import Put, Txn
from milvus_coord.model.collection import CollectionState
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.schema import FLOAT_VECTOR, INT64, CollectionSchema, Field
from milvus_coord.model.timestamps import Timestamp, compose
from milvus_coord.role.metadata.transactions import Transactions
from milvus_coord.wire.schema import encode_schema
from testing.cluster import Troupe
from testing.daemon import RoleDaemon
from testing.etcd import EtcdMember
from testing.grpc_wire import unary
from testing.metadata import META_ROOT, collection, partition
from tests.contract.etcd_helpers import connected

pytestmark = [pytest.mark.etcd, pytest.mark.go]

CATALOG = Catalog(META_ROOT)
SOON_S = 20.0


async def write(etcd: EtcdClient, transactions: Transactions) -> None:
    for ops in transactions:
        await etcd.txn(Txn((), ops))


async def stored(etcd: EtcdClient, below: str) -> dict[bytes, bytes]:
    found = await etcd.range(f"{META_ROOT}/{below}".encode())
    return {kv.key: kv.value for kv in found.kvs}


async def read(etcd: EtcdClient) -> MetaState:
    image = MetaImage.maker(CATALOG)()
    for key, value in (await stored(etcd, "root-coord/")).items():
        image.put(key, value)
    assert not image.state.damaged
    return image.state


async def call(role: RoleDaemon, rpc: str, msg_type: int, **fields: Any) -> Any:
    answer = await unary(
        role.address,
        f"rootcoord.RootCoord/{rpc}",
        timeout_s=SOON_S,
        base={"msg_type": msg_type},
        **fields,
    )
    status = getattr(answer, "status", answer)
    assert status.error_code == 0, status.reason
    return answer


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + SOON_S
    while not await true():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.02)


def now() -> Timestamp:
    return compose(time.time_ns() // 1_000_000, 0)


def same(ours: Transactions, theirs: dict[bytes, bytes]) -> None:
    """Every put of ours is what is stored there."""
    puts = {op.key: op.value for ops in ours for op in ops if isinstance(op, Put)}
    assert puts == {key: theirs.get(key) for key in puts}


async def test_go_serves_what_we_wrote_and_rewrites_it_as_we_do(
    troupe: Troupe, etcd: EtcdMember
) -> None:
    go = troupe.make("go")
    async with connected(etcd.endpoints) as client:
        at = now()
        c = collection(470656566506815847, "ours", state=CollectionState.CREATING, created_at=at)
        c = replace(c, properties=(("collection.ttl.seconds", "9"),), description="a b")
        first = partition(c.id, c.id + 1, "_default", created_at=at)
        made = replace(c, state=CollectionState.CREATED)
        alias = Alias("also", 1, c.id, at)
        await write(client, CATALOG.put_database(Database(1, "default", time.time_ns()), at))
        await write(client, CATALOG.create_collection(c, [first], at))
        await write(client, CATALOG.put_collection(made, at))
        await write(client, CATALOG.put_alias(alias, at))
        await write(client, CATALOG.put_alias(replace(alias, name="gone"), at))
        await write(client, CATALOG.drop_alias(1, "gone", at))
        before = await stored(client, "")

        go.start()
        await go.wait_active()
        described = await call(go, "DescribeCollection", 103, collection_name="also")
        assert described.collectionID == c.id
        assert [field.name for field in described.schema.fields] == [
            "RowID",
            "id",
            "v",
            "Timestamp",
        ]
        assert list(described.aliases) == ["also"]
        assert described.properties[0].value == "9"
        assert described.created_timestamp == at
        partitions = await call(go, "ShowPartitions", 204, collection_name="ours")
        assert list(partitions.partitionIDs) == [first.id]

        await call(go, "CreatePartition", 200, collection_name="ours", partition_name="p")
        await call(go, "CreateAlias", 108, collection_name="ours", alias="theirs")
        await call(go, "DropAlias", 109, alias="also")
        await call(go, "RenameCollection", 112, oldName="ours", newName="renamed")
        state = await read(client)
        renamed = state.resolve("", "theirs")
        assert renamed == replace(made, name="renamed")
        assert state.aliases_of(c.id) == ("theirs",)
        assert [p.name for p in state.partitions(c.id)] == ["_default", "p"]
        after = await stored(client, "")
        assert before.items() - after.items() <= {
            item for item in before.items() if b"also" in item[0] or b"collection-info" in item[0]
        }
        plain = f"{META_ROOT}/root-coord/database/aliases/1/also".encode()
        assert after[plain] == TOMBSTONE

        added = state.partition(c.id, "p")
        theirs = state.alias(1, "theirs")
        assert added is not None
        assert theirs is not None
        same(CATALOG.put_partition(added, added.created_at), after)
        same(CATALOG.put_alias(theirs, theirs.created_at), after)
        renamed_at = max(
            version.ts
            for version in map(
                CATALOG.snapshots.parse, (await client.range(META_ROOT.encode())).kvs
            )
            if version and version.key.endswith(b"%d" % c.id)
        )
        same(CATALOG.put_collection(renamed, renamed_at), after)


async def test_we_read_what_go_creates_and_would_write_the_same(
    troupe: Troupe, etcd: EtcdMember
) -> None:
    """There is no datacoord, so that the collection stays CREATING for a while."""
    go = troupe.make("go")
    go.start()
    await go.wait_active()
    fields = (
        Field(0, "id", INT64, "the key", is_primary_key=True, auto_id=True),
        Field(0, "k", INT64, is_partition_key=True),
        Field(0, "v", FLOAT_VECTOR, type_params=(("dim", "8"), ("x", ""))),
    )
    schema = encode_schema(CollectionSchema("c", "words", True, True, fields))
    async with connected(etcd.endpoints) as client:
        creating = asyncio.create_task(
            unary(
                go.address,
                "rootcoord.RootCoord/CreateCollection",
                timeout_s=SOON_S,
                base={"msg_type": 100},
                collection_name="c",
                schema=schema,
                shards_num=2,
                num_partitions=40,
                consistency_level=3,
                properties=[{"key": "collection.ttl.seconds", "value": "7"}],
            ),
            name="creating",
        )

        async def complete() -> bool:
            state = await read(client)
            found = list(state.unfinished())
            return (
                bool(found)
                and len(found[0].fields) == 6
                and len(state.partitions(found[0].id)) == 40
            )

        await until(complete)
        state, theirs = await read(client), await stored(client, "")
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
    (found,) = state.unfinished()
    assert [field.name for field in found.fields] == ["id", "k", "v", "$meta", "RowID", "Timestamp"]
    assert [field.id for field in found.fields] == [100, 101, 102, 103, 0, 1]
    assert found.shards == len(found.start_positions) == 2
    assert found.properties == (("collection.ttl.seconds", "7"),)
    (database,) = state.databases()
    same(CATALOG.create_collection(found, state.partitions(found.id), found.created_at), theirs)
    written = CATALOG.put_database(database, Timestamp(1))[0][0]
    assert isinstance(written, Put)
    assert theirs[written.key] == written.value
    assert isinstance(CATALOG.event(written.key, written.value), events.DatabasePut)
