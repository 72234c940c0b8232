"""What the clients of nodes and of rootcoord send, field by field, and what they return."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from milvus_coord.clients.active_client import Caller
from milvus_coord.clients.datanode import DataNodeClient
from milvus_coord.clients.errors import CallError, CallRefused
from milvus_coord.clients.indexnode import IndexNodeClient, JobStats
from milvus_coord.clients.querynode import QueryNodeClient
from milvus_coord.clients.rootcoord import RootCoordClient
from milvus_coord.pb.milvus.proto import common, data, index, internal, milvus, query, rootcoord
from milvus_coord.pb.milvus.proto.common import ErrorCode, MsgBase, MsgType
from milvus_coord.pb.milvus.proto.schema import CollectionSchema
from testing.fake_services import Fake, Registry, fake, refusal

NODE_ID, OWN_ID = 7, 3
SCHEMA = CollectionSchema(name="books")
META = query.LoadMetaInfo(
    load_type=query.LoadType.try_value(query.LoadType.LoadCollection),
    collection_id=42,
    partition_i_ds=[5],
    metric_type="L2",
)
LOGS = [data.FieldBinlog(field_id=100, binlogs=[data.Binlog(log_path="a/b")])]


@pytest.fixture
async def datanode() -> AsyncIterator[Fake]:
    async with fake("datanode", server_id=NODE_ID) as one:
        yield one


@pytest.fixture
async def datanode_client(datanode: Fake) -> AsyncIterator[DataNodeClient]:
    client = DataNodeClient(datanode.peer.address, NODE_ID, "by-dev", source_id=OWN_ID)
    yield client
    client.close()


@pytest.fixture
async def indexnode() -> AsyncIterator[Fake]:
    async with fake("indexnode", server_id=NODE_ID) as one:
        yield one


@pytest.fixture
async def indexnode_client(indexnode: Fake) -> AsyncIterator[IndexNodeClient]:
    client = IndexNodeClient(indexnode.peer.address, NODE_ID, "by-dev", source_id=OWN_ID)
    yield client
    client.close()


@pytest.fixture
async def querynode() -> AsyncIterator[Fake]:
    async with fake("querynode", server_id=NODE_ID) as one:
        yield one


@pytest.fixture
async def querynode_client(querynode: Fake) -> AsyncIterator[QueryNodeClient]:
    client = QueryNodeClient(querynode.peer.address, NODE_ID, "by-dev", source_id=OWN_ID)
    yield client
    client.close()


@pytest.fixture
async def a_rootcoord() -> AsyncIterator[Fake]:
    async with fake("rootcoord") as one:
        yield one


@pytest.fixture
async def root_client(a_rootcoord: Fake) -> AsyncIterator[RootCoordClient]:
    client = RootCoordClient(Registry(a_rootcoord.peer), Caller("by-dev", OWN_ID))
    yield client
    client.close()


async def test_a_datanode_flushes_and_imports(
    datanode: Fake, datanode_client: DataNodeClient
) -> None:
    task = data.ImportTask(task_id=9, files=["a.npy"])
    added = data.AddImportSegmentResponse(channel_pos=b"\x08\x01")
    datanode.recorder.replies["AddImportSegment"] = added
    await datanode_client.flush_segments(42, [1, 2])
    await datanode_client.import_(task)
    position = await datanode_client.add_import_segment(
        data.AddImportSegmentRequest(base=MsgBase(timestamp=4711), segment_id=1, stats_log=LOGS)
    )
    assert position == b"\x08\x01"
    assert datanode.recorder.asked == [
        (
            "FlushSegments",
            data.FlushSegmentsRequest(base=_base(402), collection_id=42, segment_i_ds=[1, 2]),
        ),
        ("Import", data.ImportTaskRequest(base=_base(0), import_task=task)),
        (
            "AddImportSegment",
            data.AddImportSegmentRequest(
                base=_base(0, timestamp=4711), segment_id=1, stats_log=LOGS
            ),
        ),
    ]


async def test_a_datanode_compacts(datanode: Fake, datanode_client: DataNodeClient) -> None:
    plan = data.CompactionPlan(plan_id=8, channel="dml_0_42v0", total_rows=10)
    result = data.CompactionStateResult(plan_id=8, result=data.CompactionResult(segment_id=77))
    states = data.CompactionStateResponse(results=[result])
    datanode.recorder.replies["GetCompactionState"] = states
    await datanode_client.compact(plan)
    assert await datanode_client.compaction_states() == [result]
    synced = data.SyncSegmentsRequest(plan_id=8, compacted_to=77, stats_logs=LOGS)
    await datanode_client.sync_segments(synced)
    assert datanode.recorder.asked == [
        ("Compaction", plan),
        ("GetCompactionState", data.CompactionStateRequest(base=_base(105))),
        ("SyncSegments", synced),
    ]


async def test_an_indexnode_builds(indexnode: Fake, indexnode_client: IndexNodeClient) -> None:
    built = index.IndexTaskInfo(build_id=6, serialized_size=99)
    indexnode.recorder.replies = {
        "GetJobStats": index.GetJobStatsResponse(task_slots=2, enable_disk=True),
        "QueryJobs": index.QueryJobsResponse(index_infos=[built]),
    }
    job = index.CreateJobRequest(cluster_id="by-dev", build_id=6, data_paths=["a"], num_rows=10)
    assert await indexnode_client.job_stats() == JobStats(2, enable_disk=True)
    await indexnode_client.create_job(job)
    assert await indexnode_client.query_jobs("by-dev", [6]) == [built]
    await indexnode_client.drop_jobs("by-dev", [6])
    assert indexnode.recorder.asked == [
        ("GetJobStats", index.GetJobStatsRequest()),
        ("CreateJob", job),
        ("QueryJobs", index.QueryJobsRequest(cluster_id="by-dev", build_i_ds=[6])),
        ("DropJobs", index.DropJobsRequest(cluster_id="by-dev", build_i_ds=[6])),
    ]
    indexnode.recorder.refusals = [refusal(ErrorCode.BuildIndexError, "duplicated index build")]
    with pytest.raises(CallRefused, match=r"^duplicated index build$") as refused:
        await indexnode_client.create_job(job)
    assert refused.value.status_code == ErrorCode.BuildIndexError


async def test_a_querynode_leads_a_shard(
    querynode: Fake, querynode_client: QueryNodeClient
) -> None:
    action = query.SyncAction(type=query.SyncType.try_value(1), segment_id=1, node_id=8, version=2)
    view = query.LeaderView(collection=42, channel="dml_0_42v0")
    shown = query.GetDataDistributionResponse(node_id=NODE_ID, leader_views=[view])
    querynode.recorder.replies["GetDataDistribution"] = shown
    await querynode_client.watch_dm_channel(
        query.WatchDmChannelsRequest(base=MsgBase(msg_id=11), schema=SCHEMA, version=1234)
    )
    assert (await querynode_client.data_distribution()).leader_views == [view]
    await querynode_client.sync_distribution(
        query.SyncDistributionRequest(channel="dml_0_42v0", actions=[action])
    )
    await querynode_client.unsub_dm_channel(
        query.UnsubDmChannelRequest(base=MsgBase(msg_id=12), channel_name="dml_0_42v0")
    )
    assert querynode.recorder.asked == [
        (
            "WatchDmChannels",
            query.WatchDmChannelsRequest(
                base=_base(508, msg_id=11), node_id=NODE_ID, schema=SCHEMA, version=1234
            ),
        ),
        ("GetDataDistribution", query.GetDataDistributionRequest(base=_base(0))),
        (
            "SyncDistribution",
            query.SyncDistributionRequest(base=_base(518), channel="dml_0_42v0", actions=[action]),
        ),
        (
            "UnsubDmChannel",
            query.UnsubDmChannelRequest(
                base=_base(516, msg_id=12), node_id=NODE_ID, channel_name="dml_0_42v0"
            ),
        ),
    ]


async def test_a_querynode_loads_and_releases(
    querynode: Fake, querynode_client: QueryNodeClient
) -> None:
    async def load() -> None:
        await querynode_client.load_segments(
            query.LoadSegmentsRequest(base=MsgBase(msg_id=11), dst_node_id=8, load_meta=META)
        )

    await load()
    await querynode_client.release_segments(
        query.ReleaseSegmentsRequest(base=MsgBase(msg_id=12), node_id=8, segment_i_ds=[1])
    )
    assert querynode.recorder.asked == [
        (
            "LoadSegments",
            query.LoadSegmentsRequest(
                base=_base(252, msg_id=11), dst_node_id=8, load_meta=META, need_transfer=True
            ),
        ),
        (
            "ReleaseSegments",
            query.ReleaseSegmentsRequest(base=_base(253, msg_id=12), node_id=8, segment_i_ds=[1]),
        ),
    ]
    querynode.recorder.refusals = [refusal(ErrorCode.InsufficientMemoryToLoad, "does not fit")]
    with pytest.raises(CallRefused) as refused:
        await load()
    assert refused.value.status_code == 52


async def test_every_node_says_how_it_is(
    querynode: Fake, querynode_client: QueryNodeClient
) -> None:
    pairs = [common.KeyValuePair(key="querynode.x", value="1")]
    querynode.recorder.replies = {
        "GetComponentStates": milvus.ComponentStates(
            state=milvus.ComponentInfo(state_code=common.StateCode(1))
        ),
        "GetMetrics": milvus.GetMetricsResponse(response="{}"),
        "ShowConfigurations": internal.ShowConfigurationsResponse(configuations=pairs),
    }
    state = await querynode_client.component_state()
    assert (state.code, state.error) == (1, 0)
    assert await querynode_client.metrics("x") == "{}"
    assert await querynode_client.show_configurations("querynode") == {"querynode.x": "1"}
    (asked,) = querynode.recorder.requests("GetMetrics")
    assert asked == milvus.GetMetricsRequest(
        base=MsgBase(msg_type=_type(601), source_id=OWN_ID), request="x"
    )


async def test_another_process_at_the_address_of_a_node_is_not_asked(datanode: Fake) -> None:
    client = DataNodeClient(datanode.peer.address, NODE_ID + 1, "by-dev")
    try:
        with pytest.raises(CallError, match="server ID mismatch"):
            await client.flush_segments(42, [1])
    finally:
        client.close()
    assert not datanode.recorder.asked


async def test_rootcoord_allocates(a_rootcoord: Fake, root_client: RootCoordClient) -> None:
    a_rootcoord.recorder.replies = {
        "AllocTimestamp": rootcoord.AllocTimestampResponse(timestamp=4711, count=2),
        "AllocID": rootcoord.AllocIdResponse(id=100, count=5),
    }
    assert await root_client.alloc_timestamp(2) == 4711
    assert await root_client.alloc_id(5) == 100
    assert a_rootcoord.recorder.asked == [
        (
            "AllocTimestamp",
            rootcoord.AllocTimestampRequest(base=_base(1204, target_id=0), count=2),
        ),
        ("AllocID", rootcoord.AllocIdRequest(base=_base(1203, target_id=0), count=5)),
    ]


async def test_rootcoord_describes(a_rootcoord: Fake, root_client: RootCoordClient) -> None:
    described = milvus.DescribeCollectionResponse(schema=SCHEMA, collection_id=42)
    partitions = milvus.ShowPartitionsResponse(partition_names=["_default"], partition_i_ds=[5])
    a_rootcoord.recorder.replies = {
        "DescribeCollection": described,
        "DescribeCollectionInternal": described,
        "ShowCollections": milvus.ShowCollectionsResponse(
            collection_names=["books"], collection_ids=[42]
        ),
        "ShowPartitions": partitions,
        "ShowPartitionsInternal": partitions,
        "ListDatabases": milvus.ListDatabasesResponse(db_names=["default", "db"]),
    }
    assert await root_client.describe_collection(42) == described
    assert await root_client.describe_collection(42, internal=True) == described
    assert await root_client.show_collections("db") == {"books": 42}
    assert await root_client.show_partitions(42) == {"_default": 5}
    assert await root_client.show_partitions(42, internal=True) == {"_default": 5}
    assert await root_client.list_databases() == ("default", "db")
    describe = milvus.DescribeCollectionRequest(base=_base(103, target_id=0), collection_id=42)
    show = milvus.ShowPartitionsRequest(base=_base(204, target_id=0), collection_id=42)
    assert a_rootcoord.recorder.asked == [
        ("DescribeCollection", describe),
        ("DescribeCollectionInternal", describe),
        ("ShowCollections", milvus.ShowCollectionsRequest(_base(104, target_id=0), "db")),
        ("ShowPartitions", show),
        ("ShowPartitionsInternal", show),
        ("ListDatabases", milvus.ListDatabasesRequest(base=_base(1803, target_id=0))),
    ]
    a_rootcoord.recorder.refusals = [refusal(1, "can't find collection: 42")]
    with pytest.raises(CallRefused, match=r"^can't find collection: 42$"):
        await root_client.describe_collection(42)


def _base(kind: int, *, msg_id: int = 0, timestamp: int = 0, target_id: int = NODE_ID) -> MsgBase:
    return MsgBase(_type(kind), msg_id, timestamp, OWN_ID, target_id)


def _type(kind: int) -> MsgType:
    return MsgType.try_value(kind)
