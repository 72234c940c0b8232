"""What the typed clients send, field by field, and what they make of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from milvus_coord.clients.active_channel import Endpoint
from milvus_coord.clients.active_client import Caller
from milvus_coord.clients.datacoord import DataCoordClient, ImportOrder
from milvus_coord.clients.errors import CallError, CallRefused
from milvus_coord.clients.indexcoord import IndexCoordClient
from milvus_coord.clients.proxy import ProxyClient
from milvus_coord.clients.querycoord import QueryCoordClient
from milvus_coord.coordinators.rootcoord.quota.work import set_rates
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.collection import Collection, StartPosition
from milvus_coord.model.errors import BadValue
from milvus_coord.model.schema import Field
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.pb.milvus.proto import common, data, index, milvus, proxy, query, schema
from milvus_coord.pb.milvus.proto.common import ErrorCode, KeyValuePair, MsgBase, SegmentState
from milvus_coord.role.nodes.active import SessionResolver
from milvus_coord.runtime.clock import SystemClock
from testing.fake_services import Fake, Registry, fake, refusal

CALLER = Caller(cluster="by-dev", server_id=3)
COLLECTION = Collection(
    id=42,
    db_id=1,
    name="books",
    description="all of them",
    auto_id=True,
    enable_dynamic_field=True,
    fields=(
        Field(100, "id", 5, is_primary_key=True, auto_id=True),
        Field(101, "vec", 101, type_params=(("dim", "8"),), index_params=(("a", "b"),)),
        Field(102, "$meta", 23, is_dynamic=True),
        Field(103, "part", 5, description="the key", is_partition_key=True),
        Field(0, "RowID", 5, description="row id"),
        Field(1, "Timestamp", 5, description="time stamp"),
    ),
    virtual_channels=("by-dev-rootcoord-dml_0_42v0", "by-dev-rootcoord-dml_1_42v1"),
    physical_channels=("by-dev-rootcoord-dml_0", "by-dev-rootcoord-dml_1"),
    shards=2,
    start_positions=(
        StartPosition("by-dev-rootcoord-dml_0", b"\x08\x00"),
        StartPosition("by-dev-rootcoord-dml_1", b"\x09\x00"),
    ),
    consistency_level=2,
    properties=(("collection.ttl.seconds", "15"),),
    created_at=Timestamp(4711),
)
SCHEMA = schema.CollectionSchema(
    name="books",
    description="all of them",
    auto_id=True,
    fields=[
        schema.FieldSchema(
            field_id=100, name="id", data_type=schema.DataType(5), is_primary_key=True, auto_id=True
        ),
        schema.FieldSchema(
            field_id=101,
            name="vec",
            data_type=schema.DataType(101),
            type_params=[KeyValuePair(key="dim", value="8")],
            index_params=[KeyValuePair(key="a", value="b")],
        ),
        schema.FieldSchema(
            field_id=102, name="$meta", data_type=schema.DataType(23), is_dynamic=True
        ),
        schema.FieldSchema(
            field_id=103,
            name="part",
            data_type=schema.DataType(5),
            description="the key",
            is_partition_key=True,
        ),
        schema.FieldSchema(
            field_id=0, name="RowID", data_type=schema.DataType(5), description="row id"
        ),
        schema.FieldSchema(
            field_id=1, name="Timestamp", data_type=schema.DataType(5), description="time stamp"
        ),
    ],
)
STARTS = [
    common.KeyDataPair(key="by-dev-rootcoord-dml_0", data=b"\x08\x00"),
    common.KeyDataPair(key="by-dev-rootcoord-dml_1", data=b"\x09\x00"),
]
NO = refusal(ErrorCode.UnexpectedError, "no such luck")


@pytest.fixture
async def datacoord() -> AsyncIterator[Fake]:
    async with fake("datacoord") as one:
        yield one


@pytest.fixture
async def data_client(datacoord: Fake) -> AsyncIterator[DataCoordClient]:
    client = DataCoordClient(Registry(datacoord.peer), CALLER)
    yield client
    client.close()


@pytest.fixture
async def a_proxy() -> AsyncIterator[Fake]:
    async with fake("proxy", server_id=11) as one:
        yield one


@pytest.fixture
async def proxy_client(a_proxy: Fake) -> AsyncIterator[ProxyClient]:
    client = ProxyClient(a_proxy.peer.address, 11, "by-dev")
    yield client
    client.close()


async def test_watch_channels(datacoord: Fake, data_client: DataCoordClient) -> None:
    await data_client.watch_channels(COLLECTION)
    assert datacoord.recorder.asked == [
        (
            "WatchChannels",
            data.WatchChannelsRequest(
                collection_id=42,
                channel_names=["by-dev-rootcoord-dml_0_42v0", "by-dev-rootcoord-dml_1_42v1"],
                start_positions=STARTS,
                schema=SCHEMA,
            ),
        )
    ]
    datacoord.recorder.refusals = [NO]
    text = "failed to watch channels, code: UnexpectedError, reason: no such luck"
    with pytest.raises(CallError) as failed:
        await data_client.watch_channels(COLLECTION)
    assert str(failed.value) == text


async def test_broadcast_altered(datacoord: Fake, data_client: DataCoordClient) -> None:
    await data_client.broadcast_altered(COLLECTION, [5, 6], (("k", "v"),))
    (request,) = datacoord.recorder.requests("BroadcastAlteredCollection")
    assert request == data.AlterCollectionRequest(
        collection_id=42,
        schema=SCHEMA,
        partition_i_ds=[5, 6],
        start_positions=STARTS,
        properties=[KeyValuePair(key="k", value="v")],
    )
    datacoord.recorder.refusals = [NO]
    with pytest.raises(CallError, match=r"^no such luck$"):
        await data_client.broadcast_altered(COLLECTION, [], ())


async def test_gc_confirm(datacoord: Fake, data_client: DataCoordClient) -> None:
    assert not await data_client.gc_confirm(42)
    datacoord.recorder.replies["GcConfirm"] = data.GcConfirmResponse(gc_finished=True)
    assert await data_client.gc_confirm(42, 5)
    assert datacoord.recorder.requests("GcConfirm") == [
        data.GcConfirmRequest(collection_id=42, partition_id=-1),
        data.GcConfirmRequest(collection_id=42, partition_id=5),
    ]


async def test_import(datacoord: Fake, data_client: DataCoordClient) -> None:
    datacoord.recorder.replies["Import"] = data.ImportTaskResponse(datanode_id=12)
    order = ImportOrder(
        task_id=9,
        collection_id=42,
        partition_id=5,
        virtual_channels=("v0", "v1"),
        files=("a.npy", "b.npy"),
        infos=(("backup", "true"),),
        database_name="db",
        busy_nodes=(3, 4),
    )
    assert await data_client.import_(order) == 12
    assert datacoord.recorder.requests("Import") == [
        data.ImportTaskRequest(
            import_task=data.ImportTask(
                collection_id=42,
                partition_id=5,
                channel_names=["v0", "v1"],
                task_id=9,
                files=["a.npy", "b.npy"],
                infos=[KeyValuePair(key="backup", value="true")],
                database_name="db",
            ),
            working_nodes=[3, 4],
        )
    ]
    datacoord.recorder.refusals = [NO]
    with pytest.raises(CallRefused, match="no such luck"):
        await data_client.import_(order)


async def test_the_segments_of_an_import(datacoord: Fake, data_client: DataCoordClient) -> None:
    states = [SegmentState.Flushed, SegmentState.Importing]
    datacoord.recorder.replies["GetSegmentStates"] = data.GetSegmentStatesResponse(
        states=[data.SegmentStateInfo(state=SegmentState.try_value(each)) for each in states]
    )
    await data_client.flush(42, [7, 8])
    assert await data_client.segment_states([7, 8]) == (4, 7)
    await data_client.unset_importing([7, 8])
    flush, asked, unset = (request for _, request in datacoord.recorder.asked)
    assert flush == data.FlushRequest(
        base=_base(402), segment_i_ds=[7, 8], collection_id=42, is_import=True
    )
    assert asked == data.GetSegmentStatesRequest(base=_base(603), segment_i_ds=[7, 8])
    assert unset == data.UnsetIsImportingStateRequest(base=_base(0), segment_ids=[7, 8])


async def test_metrics_of_coordinators(datacoord: Fake, data_client: DataCoordClient) -> None:
    datacoord.recorder.replies["GetMetrics"] = milvus.GetMetricsResponse(response="{}")
    assert await data_client.metrics('{"metric_type":"system_info"}') == "{}"
    assert datacoord.recorder.requests("GetMetrics") == [
        milvus.GetMetricsRequest(base=_base(601), request='{"metric_type":"system_info"}')
    ]


async def test_querycoord() -> None:
    async with fake("querycoord") as one:
        one.recorder.replies["GetMetrics"] = milvus.GetMetricsResponse(response="{}")
        client = QueryCoordClient(Registry(one.peer), CALLER)
        try:
            await client.release_collection(42, 3)
            assert await client.metrics("x") == "{}"
            one.recorder.refusals = [NO]
            with pytest.raises(CallError) as failed:
                await client.release_collection(42, 3)
        finally:
            client.close()
        released = query.ReleaseCollectionRequest(base=_base(107), collection_id=42, node_id=3)
        assert one.recorder.requests("ReleaseCollection") == [released, released]
        assert str(failed.value) == (
            "failed to release collection, code: UnexpectedError, reason: no such luck"
        )


async def test_indexcoord() -> None:
    async with fake("indexcoord") as one:
        client = IndexCoordClient(Registry(one.peer), CALLER)
        try:
            await client.drop_index(42)
            await client.drop_index(42, [5])
        finally:
            client.close()
        assert one.recorder.requests("DropIndex") == [
            index.DropIndexRequest(collection_id=42, drop_all=True),
            index.DropIndexRequest(collection_id=42, partition_i_ds=[5], drop_all=True),
        ]


async def test_proxy_caches(a_proxy: Fake, proxy_client: ProxyClient) -> None:
    expected = proxy.InvalidateCollMetaCacheRequest(
        base=MsgBase(msg_type=_type(101), timestamp=4711, source_id=3),
        db_name="db",
        collection_name="books",
        collection_id=42,
    )
    await proxy_client.invalidate_collection_meta_cache("db", "books", 42, 4711, 3, 101)
    await proxy_client.forward(expected.SerializeToString())
    await proxy_client.update_credential_cache("ann", "sha", 3)
    await proxy_client.invalidate_credential_cache("ann")
    await proxy_client.refresh_policy_info_cache(1, "ann/admin")
    await proxy_client.set_rates(set_rates([], 1, Timestamp(5)))
    assert a_proxy.recorder.asked == [
        ("InvalidateCollectionMetaCache", expected),
        ("InvalidateCollectionMetaCache", expected),
        (
            "UpdateCredentialCache",
            proxy.UpdateCredCacheRequest(base=_base(0), username="ann", password="sha"),
        ),
        ("InvalidateCredentialCache", proxy.InvalidateCredCacheRequest(username="ann")),
        (
            "RefreshPolicyInfoCache",
            proxy.RefreshPolicyInfoCacheRequest(op_type=1, op_key="ann/admin"),
        ),
        ("SetRates", proxy.SetRatesRequest(base=MsgBase(msg_id=5, timestamp=5))),
    ]
    a_proxy.recorder.refusals = [NO]
    with pytest.raises(CallError, match=r"^no such luck$"):
        await proxy_client.invalidate_collection_meta_cache("db", "books", 0, 1, 3)


async def test_proxy_questions(a_proxy: Fake, proxy_client: ProxyClient) -> None:
    a_proxy.recorder.replies = {
        "GetProxyMetrics": milvus.GetMetricsResponse(response="{}"),
        "GetComponentStates": milvus.ComponentStates(
            state=milvus.ComponentInfo(state_code=common.StateCode(1))
        ),
    }
    assert await proxy_client.metrics("x") == "{}"
    state = await proxy_client.component_state()
    assert (state.code, state.error) == (1, 0)
    a_proxy.recorder.refusals = [NO]
    assert (await proxy_client.component_state()).error == 1


async def test_many_proxy_calls_at_once(a_proxy: Fake, proxy_client: ProxyClient) -> None:
    await asyncio.gather(
        *(proxy_client.invalidate_collection_meta_cache("", f"c{n}", 0, n, 3) for n in range(100))
    )
    assert len(a_proxy.recorder.asked) == 100


async def test_a_coordinator_is_found_by_its_session() -> None:
    etcd = MemoryEtcd(SystemClock())
    key, other = b"by-dev/meta/session/datacoord", b"by-dev/meta/session/datacoord-9"
    resolve = SessionResolver(etcd, "by-dev/meta", "datacoord")
    assert await resolve() is None
    session = SessionRecord(7, "datacoord", "10.0.0.2:13333")
    await etcd.txn(Txn((), (put(key, session.encode()), put(other, b"damaged"))))
    assert await resolve() == Endpoint("10.0.0.2:13333", 7)
    await etcd.txn(Txn((), (put(key, b"damaged"),)))
    with pytest.raises(BadValue, match="session/datacoord holds no session"):
        await resolve()
    await etcd.txn(Txn((), (delete(key),)))
    assert await resolve() is None


@pytest.mark.parametrize(
    "address", ["", "a", "a:", ":1", "a:b", "a:-1", "a:\u0663", "a:1\n", "\0:1"]
)
async def test_a_session_without_an_address_is_waited_out(address: str) -> None:
    """Junk under the session key must never come out of a call as anything but CallError."""
    etcd, key = MemoryEtcd(SystemClock()), b"by-dev/meta/session/datacoord"
    client = DataCoordClient(
        SessionResolver(etcd, "by-dev/meta", "datacoord"), CALLER, ask_timeout_s=0.2
    )
    junk = SessionRecord(5, "datacoord", address)
    await etcd.txn(Txn((), (put(key, junk.encode()),)))
    with pytest.raises(CallError, match="session/datacoord holds no session: Address"):
        await client.component_state()
    client.close()


def _base(kind: int) -> MsgBase:
    return MsgBase(msg_type=_type(kind), source_id=3)


def _type(kind: int) -> common.MsgType:
    return common.MsgType.try_value(kind)
