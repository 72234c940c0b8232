"""Statements: what is asked of those who carry them out, and what is refused before."""

from __future__ import annotations

from typing import Any

import pytest

from milvus_coord.coordinators.rootcoord.collections.context import NewCollection
from milvus_coord.coordinators.rootcoord.collections.rules_requests import (
    FIELDS_MAX,
    NAME_BYTES_MAX,
    RECORD_BYTES_MAX,
)
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.model.errors import FencedOff, NotServing, Refused
from milvus_coord.model.schema import CollectionSchema, Field
from testing.ddl_rpcs import DdlBench
from testing.messages import message_class, new

SCHEMA = message_class("schema.CollectionSchema")(
    name="films",
    description="moving pictures",
    enable_dynamic_field=True,
    fields=[
        {"name": "id", "is_primary_key": True, "data_type": 5, "autoID": True, "fieldID": 7},
        {
            "name": "v",
            "data_type": 101,
            "type_params": [{"key": "dim", "value": "16"}],
            "index_params": [{"key": "b", "value": "1"}, {"key": "a", "value": "2"}],
            "is_partition_key": True,
            "default_value": {"int_data": 3},
            "element_type": 5,
            "state": 2,
        },
    ],
)
CREATE = {
    "base": {"msg_type": 100},
    "db_name": "library",
    "collection_name": "films",
    "schema": SCHEMA.SerializeToString(),
    "shards_num": 3,
    "consistency_level": 1,
    "properties": [{"key": "b", "value": "1"}, {"key": "a", "value": "2"}],
    "num_partitions": 64,
}


@pytest.fixture
def bench() -> DdlBench:
    return DdlBench()


async def test_create_collection(bench: DdlBench) -> None:
    reply = await bench.call("CreateCollection", **CREATE)
    assert reply == new("common.Status")
    fields = (
        Field(id=7, name="id", data_type=5, is_primary_key=True, auto_id=True),
        Field(
            id=0,
            name="v",
            data_type=101,
            is_partition_key=True,
            type_params=(("dim", "16"),),
            index_params=(("b", "1"), ("a", "2")),
        ),
    )
    wanted = NewCollection(
        db_name="library",
        collection_name="films",
        schema=CollectionSchema(
            name="films",
            description="moving pictures",
            auto_id=False,
            enable_dynamic_field=True,
            fields=fields,
        ),
        shards=3,
        consistency_level=1,
        properties=(("b", "1"), ("a", "2")),
        num_partitions=64,
    )
    assert bench.statements.asked == [("create_collection", wanted)]


STATEMENTS: list[tuple[str, int, dict[str, Any], tuple[object, ...]]] = [
    (
        "DropCollection",
        101,
        {"db_name": "d", "collection_name": "c"},
        ("drop_collection", "d", "c"),
    ),
    (
        "AlterCollection",
        0,
        {"db_name": "d", "collection_name": "c", "properties": [{"key": "k", "value": "v"}]},
        ("alter_collection", "d", "c", (("k", "v"),)),
    ),
    (
        "RenameCollection",
        112,
        {"db_name": "d", "oldName": "o", "newName": "n", "newDBName": "e"},
        ("rename_collection", "d", "o", "e", "n"),
    ),
    (
        "CreatePartition",
        200,
        {"db_name": "d", "collection_name": "c", "partition_name": "p"},
        ("create_partition", "d", "c", "p"),
    ),
    (
        "DropPartition",
        201,
        {"db_name": "d", "collection_name": "c", "partition_name": "p"},
        ("drop_partition", "d", "c", "p"),
    ),
    (
        "CreateAlias",
        108,
        {"db_name": "d", "collection_name": "c", "alias": "a"},
        ("create_alias", "d", "c", "a"),
    ),
    ("DropAlias", 109, {"db_name": "d", "alias": "a"}, ("drop_alias", "d", "a")),
    (
        "AlterAlias",
        110,
        {"db_name": "d", "collection_name": "c", "alias": "a"},
        ("alter_alias", "d", "c", "a"),
    ),
    ("CreateDatabase", 0, {"db_name": "d"}, ("create_database", "d")),
    ("DropDatabase", 0, {"db_name": "d"}, ("drop_database", "d")),
]


@pytest.mark.parametrize(("rpc", "msg_type", "fields", "asked"), STATEMENTS)
async def test_statement(
    bench: DdlBench, rpc: str, msg_type: int, fields: dict[str, Any], asked: tuple[object, ...]
) -> None:
    assert await bench.call(rpc, base={"msg_type": msg_type}, **fields) == new("common.Status")
    assert bench.statements.asked == [asked]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refused("shard num (99) exceeds system limit (16)"), None),
        (Unavailable("etcd: txn: no endpoint answered in 5 s", sent=True), None),
        (ValueError("a bug"), "ValueError: a bug"),
    ],
)
async def test_a_statement_that_fails(
    bench: DdlBench, error: Exception, reason: str | None
) -> None:
    bench.statements.failure = error
    for rpc, msg_type, fields, _ in [*STATEMENTS, ("CreateCollection", 100, CREATE, ())]:
        status = await bench.call(rpc, **{"base": {"msg_type": msg_type}, **fields})
        assert (status.error_code, status.reason) == (1, reason or str(error))


@pytest.mark.parametrize("error", [FencedOff("the term is over"), NotServing("lapsed")])
async def test_who_leads_no_more_says_so_to_the_caller(bench: DdlBench, error: Exception) -> None:
    bench.statements.failure = error
    for rpc, msg_type, fields, _ in [*STATEMENTS, ("CreateCollection", 100, CREATE, ())]:
        with pytest.raises(type(error)):
            await bench.call(rpc, **{"base": {"msg_type": msg_type}, **fields})


async def refused(bench: DdlBench, rpc: str, **fields: Any) -> str:
    """The reason; nobody was asked to do anything."""
    status = await bench.call(rpc, **fields)
    assert status.error_code == 1
    assert bench.statements.asked == []
    reason: str = status.reason
    return reason


async def create(bench: DdlBench, **other: Any) -> str:
    return await refused(bench, "CreateCollection", **{**CREATE, **other})


async def test_the_database_is_looked_for_before_all_else(bench: DdlBench) -> None:
    reason = await create(bench, db_name="nowhere", base={}, schema=b"\xff")
    assert reason == "database:nowhere not found"


@pytest.mark.parametrize("schema", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x22\x03\x08"])
async def test_a_schema_that_is_none(bench: DdlBench, schema: bytes) -> None:
    reason = await create(bench, schema=schema)
    assert reason.startswith("the schema cannot be parsed: ")


async def test_a_schema_of_no_bytes_is_an_empty_one(bench: DdlBench) -> None:
    await bench.call("CreateCollection", **{**CREATE, "schema": b""})
    ((_, wanted),) = bench.statements.asked
    assert isinstance(wanted, NewCollection)
    assert wanted.schema == CollectionSchema("", "", False, False, ())


async def test_properties_that_etcd_could_not_take(bench: DdlBench) -> None:
    large = [{"key": "k", "value": "v" * (20 << 20)}]
    expected = f"have {(20 << 20) + 9} bytes, at most {RECORD_BYTES_MAX} are allowed"
    reason = await refused(bench, "AlterCollection", collection_name="books", properties=large)
    assert reason == f"the schema and properties of collection books {expected}"
    many = [{"key": str(i), "value": ""} for i in range(100_000)]
    assert "bytes, at most" in await create(bench, properties=many)
    assert "bytes, at most" in await create(bench, schema=b"\x12" + bytes(600_000))


async def test_a_schema_with_too_many_fields(bench: DdlBench) -> None:
    schema = message_class("schema.CollectionSchema")(name="films", fields=[{}] * (FIELDS_MAX + 1))
    reason = await create(bench, schema=schema.SerializeToString())
    assert (
        reason == f"collection films has {FIELDS_MAX + 1} fields, at most {FIELDS_MAX} are allowed"
    )


NAMES: list[tuple[str, str, dict[str, Any]]] = [
    ("CreateCollection", "collection_name", CREATE),
    ("RenameCollection", "newName", {"base": {"msg_type": 112}}),
    ("CreatePartition", "partition_name", {"base": {"msg_type": 200}}),
    ("CreateAlias", "alias", {"base": {"msg_type": 108}}),
    ("CreateDatabase", "db_name", {}),
]


@pytest.mark.parametrize(("rpc", "where", "fields"), NAMES)
async def test_names_that_cannot_be_given(
    bench: DdlBench, rpc: str, where: str, fields: dict[str, Any]
) -> None:
    assert "name must not be empty" in await refused(bench, rpc, **{**fields, where: ""})
    longest = "é" * (NAME_BYTES_MAX // 2)
    reason = await refused(bench, rpc, **{**fields, where: longest + "x"})
    assert reason.endswith(
        f"name has {NAME_BYTES_MAX + 1} bytes, at most {NAME_BYTES_MAX} are allowed"
    )
    assert (await bench.call(rpc, **{**fields, where: longest})).error_code == 0


@pytest.mark.parametrize("alias", ["a/b", "/", ".", ".."])
async def test_aliases_stand_in_keys(bench: DdlBench, alias: str) -> None:
    reason = await refused(
        bench, "CreateAlias", base={"msg_type": 108}, collection_name="books", alias=alias
    )
    assert reason == f"the alias name must not be a path: {alias}"
