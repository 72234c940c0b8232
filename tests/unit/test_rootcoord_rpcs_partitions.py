"""Reading partitions and databases."""

from __future__ import annotations

import pytest

from milvus_coord.model.timestamps import Timestamp, physical_ms
from testing.ddl_rpcs import CREATED, DdlBench
from testing.messages import new

HAS = {"msg_type": 202}
SHOW = {"msg_type": 204}


@pytest.fixture
def bench() -> DdlBench:
    return DdlBench()


@pytest.mark.parametrize(
    ("collection_name", "partition_name", "found"),
    [
        ("books", "old", True),
        ("tomes", "_default", True),
        ("books", "gone", False),  # being dropped
        ("books", "", False),
        ("books", "x" * 100_000, False),
    ],
)
async def test_has_partition(
    bench: DdlBench, collection_name: str, partition_name: str, found: bool
) -> None:
    reply = await bench.call(
        "HasPartition", base=HAS, collection_name=collection_name, partition_name=partition_name
    )
    assert reply == new("milvus.BoolResponse", status={}, value=found)


async def test_has_partition_of_no_collection(bench: DdlBench) -> None:
    reply = await bench.call("HasPartition", base=HAS, collection_name="x", partition_name="old")
    assert reply.status.error_code == 1
    assert reply.status.reason == (
        "HasPartition failed: code: CollectionNotExists, reason: can't find collection default:x"
    )


@pytest.mark.parametrize("rpc", ["ShowPartitions", "ShowPartitionsInternal"])
@pytest.mark.parametrize("name", ["books", "tomes"])
async def test_show_partitions_by_name(bench: DdlBench, rpc: str, name: str) -> None:
    reply = await bench.call(rpc, base=SHOW, collection_name=name, collectionID=12)
    times = [Timestamp(CREATED + i) for i in range(3)]
    assert reply == new(
        "milvus.ShowPartitionsResponse",
        status={},
        partition_names=["_default", "old", "new"],
        partitionIDs=[10000, 10001, 10002],
        created_timestamps=times,
        created_utc_timestamps=[physical_ms(each) for each in times],
    )


async def test_show_partitions_by_id_asks_for_no_database(bench: DdlBench) -> None:
    reply = await bench.call("ShowPartitions", base=SHOW, db_name="nowhere", collectionID=10)
    assert list(reply.partition_names) == ["_default", "old", "new"]


async def test_internal_calls_find_by_id_what_is_going(bench: DdlBench) -> None:
    reply = await bench.call("ShowPartitionsInternal", base=SHOW, collectionID=10)
    assert list(reply.partition_names) == ["_default", "old", "new", "gone"]
    reply = await bench.call("ShowPartitionsInternal", base=SHOW, collectionID=11)
    assert list(reply.partition_names) == ["_default"]


@pytest.mark.parametrize(
    ("rpc", "how", "reason"),
    [
        ("ShowPartitions", {"collection_name": "papers"}, " default:papers"),
        ("ShowPartitions", {"collectionID": 11}, ": 11"),
        ("ShowPartitions", {}, ": 0"),
        ("ShowPartitionsInternal", {"collectionID": 99}, ": 99"),
        ("ShowPartitionsInternal", {"collection_name": "papers"}, " default:papers"),
    ],
)
async def test_show_partitions_of_no_collection(
    bench: DdlBench, rpc: str, how: dict[str, object], reason: str
) -> None:
    reply = await bench.call(rpc, base=SHOW, **how)
    assert reply.status.error_code == 1
    assert reply.status.reason == (
        "ShowPartitions failed: code: CollectionNotExists, reason: can't find collection" + reason
    )


async def test_list_databases(bench: DdlBench) -> None:
    reply = await bench.call("ListDatabases")
    assert reply == new("milvus.ListDatabasesResponse", status={}, db_names=["default", "library"])
