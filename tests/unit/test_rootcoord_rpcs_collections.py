"""Reading collections: which lookups find what, and what the replies say."""

from __future__ import annotations

import pytest

from milvus_coord.coordinators.rootcoord.metadata import events
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.model.collection import CollectionState
from milvus_coord.model.database import Alias
from milvus_coord.model.timestamps import physical_ms
from testing.ddl_rpcs import CREATED, DdlBench, collection
from testing.messages import new

MAX = 2**64 - 1
HAS = {"msg_type": 102}
DESCRIBE = {"msg_type": 103}
SHOW = {"msg_type": 104}


@pytest.fixture
def bench() -> DdlBench:
    return DdlBench()


async def has(bench: DdlBench, name: str, db_name: str = "", time_stamp: int = 0) -> bool:
    reply = await bench.call(
        "HasCollection", base=HAS, db_name=db_name, collection_name=name, time_stamp=time_stamp
    )
    assert (reply.status.error_code, reply.status.reason) == (0, "")
    found: bool = reply.value
    return found


async def test_has_collection_by_name_and_alias(bench: DdlBench) -> None:
    assert await has(bench, "books")
    assert await has(bench, "tomes")
    assert await has(bench, "books", time_stamp=MAX)
    assert await has(bench, "maps", "library")


@pytest.mark.parametrize(
    ("name", "db_name"),
    [
        ("nope", ""),
        ("papers", ""),  # being dropped
        ("essays", ""),  # an alias of that
        ("maps", ""),
        ("books", "library"),
        ("books", "nowhere"),
        ("", ""),
        ("x" * 1_000_000, ""),
    ],
)
async def test_has_not(bench: DdlBench, name: str, db_name: str) -> None:
    assert not await has(bench, name, db_name)


async def test_has_collection_at_an_earlier_time(bench: DdlBench) -> None:
    assert await has(bench, "books", time_stamp=CREATED)
    assert not await has(bench, "books", time_stamp=CREATED - 1)
    assert bench.history.asked == [("named", "", "books")] * 2


async def test_has_collection_when_etcd_does_not_answer(bench: DdlBench) -> None:
    bench.history.failure = Unavailable("etcd: range: no endpoint answered", sent=True)
    reply = await bench.call("HasCollection", base=HAS, collection_name="books", time_stamp=CREATED)
    assert reply.status.error_code == 1
    assert reply.status.reason == "HasCollection failed: etcd: range: no endpoint answered"
    assert reply.value is False


@pytest.mark.parametrize("rpc", ["DescribeCollection", "DescribeCollectionInternal"])
@pytest.mark.parametrize("how", [{"collection_name": "books"}, {"collectionID": 10}])
async def test_describe_says_everything(bench: DdlBench, rpc: str, how: dict[str, object]) -> None:
    reply = await bench.call(rpc, base=DESCRIBE, db_name="default", **how)
    internal_by_id = "Internal" in rpc and "collectionID" in how
    channels = ["by-dev-rootcoord-dml_0", "by-dev-rootcoord-dml_1"]
    fields = [
        {"fieldID": 100, "name": "id", "is_primary_key": True, "data_type": 5, "autoID": True},
        {
            "fieldID": 101,
            "name": "v",
            "description": "the vector",
            "data_type": 101,
            "type_params": [{"key": "dim", "value": "16"}],
            "index_params": [
                {"key": "metric_type", "value": "L2"},
                {"key": "index_type", "value": "FLAT"},
            ],
        },
        {"fieldID": 0, "name": "RowID", "description": "row id", "data_type": 5},
        {"fieldID": 1, "name": "Timestamp", "description": "time stamp", "data_type": 5},
    ]
    assert reply == new(
        "milvus.DescribeCollectionResponse",
        status={},
        schema={
            "name": "books",
            "description": "about books",
            "autoID": True,
            "enable_dynamic_field": True,
            "fields": fields,
        },
        collectionID=10,
        virtual_channel_names=[f"{each}_10v{i}" for i, each in enumerate(channels)],
        physical_channel_names=channels,
        created_timestamp=CREATED,
        created_utc_timestamp=physical_ms(CREATED),
        shards_num=2,
        aliases=["tomes"],
        start_positions=[{"key": each, "data": b"\x00\xff\x01"} for each in channels],
        consistency_level=2,
        collection_name="books",
        properties=[{"key": "collection.ttl.seconds", "value": "60"}],
        db_name="default",
        num_partitions=4 if internal_by_id else 3,
    )


async def test_describe_by_alias_gives_the_real_name(bench: DdlBench) -> None:
    reply = await bench.call("DescribeCollection", base=DESCRIBE, collection_name="tomes")
    assert (reply.collection_name, reply.schema.name) == ("books", "books")
    assert reply.db_name == ""


async def test_describe_by_id_asks_for_no_database_and_echoes_it(bench: DdlBench) -> None:
    for said in ("", "nowhere", "default"):
        reply = await bench.call("DescribeCollection", base=DESCRIBE, db_name=said, collectionID=12)
        assert (reply.collection_name, reply.db_name) == ("maps", said)


async def test_describe_goes_by_the_name_when_there_is_one(bench: DdlBench) -> None:
    reply = await bench.call(
        "DescribeCollection", base=DESCRIBE, collection_name="books", collectionID=12
    )
    assert reply.collectionID == 10


@pytest.mark.parametrize(
    ("rpc", "how", "reason"),
    [
        ("DescribeCollection", {"collection_name": "no"}, "can't find collection default:no"),
        (
            "DescribeCollection",
            {"collection_name": "maps", "db_name": "nowhere"},
            "can't find collection nowhere:maps",
        ),
        ("DescribeCollection", {"collectionID": 11}, "can't find collection: 11"),
        ("DescribeCollection", {"collection_name": "essays"}, "can't find collection: 11"),
        ("DescribeCollection", {"collectionID": -(2**63)}, f"can't find collection: {-(2**63)}"),
        ("DescribeCollection", {}, "can't find collection: 0"),
        ("DescribeCollectionInternal", {"collectionID": 13}, "can't find collection: 13"),
        (
            "DescribeCollectionInternal",
            {"collection_name": "papers"},
            "can't find collection default:papers",
        ),
    ],
)
async def test_describe_what_is_not_there(
    bench: DdlBench, rpc: str, how: dict[str, object], reason: str
) -> None:
    reply = await bench.call(rpc, base=DESCRIBE, **how)
    expected = f"code: CollectionNotExists, reason: {reason}"
    assert (reply.status.error_code, reply.status.reason) == (1, expected)
    assert not reply.HasField("schema")


async def test_internal_calls_find_by_id_what_is_going_and_coming(bench: DdlBench) -> None:
    bench.put_collection(collection(13, "draft", state=CollectionState.CREATING), "_default")
    for id_, name in ((11, "papers"), (13, "draft")):
        reply = await bench.call("DescribeCollectionInternal", base=DESCRIBE, collectionID=id_)
        assert (reply.status.error_code, reply.collection_name) == (0, name)
        assert reply.num_partitions == 1


async def test_records_without_a_number_of_shards_have_one_for_each_channel(
    bench: DdlBench,
) -> None:
    bench.put(events.CollectionPut(collection(10, "books", shards=0)))
    reply = await bench.call("DescribeCollection", base=DESCRIBE, collectionID=10)
    assert reply.shards_num == 2


async def test_describe_follows_every_change(bench: DdlBench) -> None:
    async def describe() -> tuple[str, int, list[str], int]:
        reply = await bench.call("DescribeCollection", base=DESCRIBE, collectionID=10)
        fields = len(reply.schema.fields)
        return reply.collection_name, reply.num_partitions, list(reply.aliases), fields

    assert await describe() == ("books", 3, ["tomes"], 4)
    bench.put(events.CollectionPut(collection(10, "tracts")))
    assert await describe() == ("tracts", 3, ["tomes"], 4)
    bench.put(events.PartitionDeleted(10, 10001))
    assert await describe() == ("tracts", 2, ["tomes"], 4)
    bench.put(events.AliasPut(Alias("prints", 1, 10, CREATED)))
    assert await describe() == ("tracts", 2, ["prints", "tomes"], 4)
    bench.put(events.AliasDeleted(1, "tomes"))
    assert await describe() == ("tracts", 2, ["prints"], 4)
    bench.put(events.FieldDeleted(10, 101))
    assert await describe() == ("tracts", 2, ["prints"], 3)


async def test_describe_at_an_earlier_time(bench: DdlBench) -> None:
    for rpc, how in (
        ("DescribeCollection", {"collection_name": "books"}),
        ("DescribeCollection", {"collectionID": 10}),
        ("DescribeCollectionInternal", {"collectionID": 10}),
        ("DescribeCollectionInternal", {"collection_name": "books"}),
    ):
        reply = await bench.call(rpc, base=DESCRIBE, db_name="d", time_stamp=CREATED, **how)
        assert [(each.key, each.value) for each in reply.properties] == [("old", "yes")]
        assert (reply.db_name, reply.num_partitions) == ("d", 2)
        assert list(reply.aliases) == ["tomes"]
    assert bench.history.asked == [
        ("named", "d", "books"),
        ("by_id", "d", 10, False),
        ("by_id", "d", 10, True),
        ("named", "d", "books"),
    ]


async def test_describe_before_there_was_any(bench: DdlBench) -> None:
    reply = await bench.call(
        "DescribeCollection", base=DESCRIBE, collection_name="books", time_stamp=5
    )
    assert reply.status.error_code == 1
    assert reply.status.reason.endswith("can't find collection 1:x, at timestamp = 5")


async def test_show_collections(bench: DdlBench) -> None:
    reply = await bench.call("ShowCollections", base=SHOW)
    assert list(reply.collection_names) == ["books"]
    reply = await bench.call("ShowCollections", base=SHOW, db_name="library", time_stamp=MAX)
    assert reply == new(
        "milvus.ShowCollectionsResponse",
        status={},
        collection_names=["maps"],
        collection_ids=[12],
        created_timestamps=[CREATED],
        created_utc_timestamps=[physical_ms(CREATED)],
    )


async def test_show_many_collections(bench: DdlBench) -> None:
    for id_ in range(100, 1100):
        bench.put_collection(collection(id_, f"c{id_}", db_id=2))
    reply = await bench.call("ShowCollections", base=SHOW, db_name="library")
    shown = dict(zip(reply.collection_ids, reply.collection_names, strict=True))
    assert shown == {12: "maps"} | {id_: f"c{id_}" for id_ in range(100, 1100)}
    assert len(reply.created_timestamps) == len(reply.created_utc_timestamps) == 1001


async def test_show_collections_of_no_database(bench: DdlBench) -> None:
    reply = await bench.call("ShowCollections", base=SHOW, db_name="nowhere")
    assert reply.status.error_code == 1
    assert reply.status.reason == "ShowCollections failed: database:nowhere not found"


async def test_show_collections_at_an_earlier_time(bench: DdlBench) -> None:
    reply = await bench.call("ShowCollections", base=SHOW, time_stamp=CREATED)
    assert list(reply.collection_names) == ["books"]
    reply = await bench.call("ShowCollections", base=SHOW, time_stamp=CREATED - 1)
    assert list(reply.collection_names) == []
    assert reply.HasField("status")


async def test_show_segments_is_always_empty(bench: DdlBench) -> None:
    reply = await bench.call("ShowSegments", collectionID=10)
    assert reply == new("milvus.ShowSegmentsResponse", status={})
