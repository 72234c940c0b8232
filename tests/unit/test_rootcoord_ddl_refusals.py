"""Every refusal of a DDL statement, in the words of Go 2.2.16, and that nothing was changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import pytest

from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.model.errors import CoordError
from milvus_coord.model.schema import BINARY_VECTOR, INT64, Field
from testing.limits import DDL_LIMITS
from testing.rootcoord_world import FIELDS, Term, World, wanted

TTL: Final = (("collection.ttl.seconds", "60"),)
KEY: Final = (*FIELDS, Field(0, "k", INT64, is_partition_key=True))
BINARY: Final = (*FIELDS, Field(0, "b", BINARY_VECTOR))
META_FIELD: Final = (*FIELDS, Field(0, "$meta", INT64))

LIMITS: Final = replace(
    DDL_LIMITS,
    dml_channel_num=4,
    max_shard_num=3,
    max_collections_per_db=5,
    max_collections=6,
    max_databases=3,
    max_partitions=2,
    auto_index=True,
)


async def furnish(term: Term) -> None:
    """default: a (alias al), b (partitions _default and p); other: empty; full: 3 collections."""
    ddl = term.ddl
    await ddl.create_collection(wanted("a"))
    await ddl.create_collection(wanted("b"))
    await ddl.create_alias("", "a", "al")
    await ddl.create_partition("", "b", "p")
    await ddl.create_database("other")
    await ddl.create_database("full")
    await ddl.create_collection(wanted("x", "full"))


Statement = Callable[[Ddl], Awaitable[None]]
REFUSED: Final[dict[str, tuple[Statement, str]]] = {
    "create in no database": (
        lambda ddl: ddl.create_collection(wanted("n", "nowhere")),
        "database:nowhere not found",
    ),
    "more shards than channels": (
        lambda ddl: ddl.create_collection(wanted("n", shards=5)),
        "shard num (5) exceeds max configuration (4)",
    ),
    "more shards than allowed": (
        lambda ddl: ddl.create_collection(wanted("n", shards=4)),
        "shard num (4) exceeds system limit (3)",
    ),
    "another name in the schema": (
        lambda ddl: ddl.create_collection(wanted("n", schema_name="m")),
        "collection name = n, schema.Name=m",
    ),
    "a system field": (
        lambda ddl: ddl.create_collection(wanted("n", fields=META_FIELD)),
        "schema contains system field: RowID, Timestamp, $meta",
    ),
    "a binary vector with auto index": (
        lambda ddl: ddl.create_collection(wanted("n", fields=BINARY)),
        "can not speficy binary vector when enabled with AutoIndex",
    ),
    "a partition key without partitions": (
        lambda ddl: ddl.create_collection(wanted("n", fields=KEY)),
        "the specified partitions should be greater than 0 if partition key is used",
    ),
    "too many partitions of a key": (
        lambda ddl: ddl.create_collection(wanted("n", fields=KEY, num_partitions=3)),
        "partition number (3) exceeds max configuration (2), collection: n",
    ),
    "create another one of that name": (
        lambda ddl: ddl.create_collection(wanted("a", shards=1)),
        "create duplicate collection with different parameters, collection: a",
    ),
    "create one with the name of an alias": (
        lambda ddl: ddl.create_collection(wanted("al")),
        "create duplicate collection with different parameters, collection: al",
    ),
    "drop by alias": (
        lambda ddl: ddl.drop_collection("", "al"),
        "cannot drop the collection via alias = al",
    ),
    "alter nothing": (
        lambda ddl: ddl.alter_collection("", "", TTL),
        "alter collection failed, collection name does not exists",
    ),
    "alter without properties": (
        lambda ddl: ddl.alter_collection("", "a", ()),
        "only support alter collection properties, but collection properties is empty",
    ),
    "alter what is not there": (
        lambda ddl: ddl.alter_collection("", "n", TTL),
        "code: CollectionNotExists, reason: can't find collection 1:n, at timestamp = {ts}",
    ),
    "alter in no database": (
        lambda ddl: ddl.alter_collection("nowhere", "n", TTL),
        "database:nowhere not found",
    ),
    "rename into no database": (
        lambda ddl: ddl.rename_collection("", "a", "nowhere", "n"),
        "target database:nowhere not found",
    ),
    "rename by alias": (
        lambda ddl: ddl.rename_collection("", "al", "", "n"),
        "unsupported use an alias to rename collection, alias:al",
    ),
    "rename to a collection": (
        lambda ddl: ddl.rename_collection("", "a", "", "b"),
        "duplicated new collection name default:b with other collection name or alias",
    ),
    "rename to itself": (
        lambda ddl: ddl.rename_collection("", "a", "", "a"),
        "duplicated new collection name default:a with other collection name or alias",
    ),
    "rename to an alias": (
        lambda ddl: ddl.rename_collection("", "b", "default", "al"),
        "duplicated new collection name default:al with other collection name or alias",
    ),
    "rename what is not there": (
        lambda ddl: ddl.rename_collection("", "n", "", "m"),
        "code: CollectionNotExists, reason: can't find collection 1:n, at timestamp = {ts}",
    ),
    "rename from no database": (
        lambda ddl: ddl.rename_collection("nowhere", "n", "default", "m"),
        "database:nowhere not found",
    ),
    "move one with aliases": (
        lambda ddl: ddl.rename_collection("", "a", "other", "n"),
        "fail to rename db name, must drop all aliases of this collection before rename",
    ),
    "create a partition of nothing": (
        lambda ddl: ddl.create_partition("", "n", "p"),
        "code: CollectionNotExists, reason: can't find collection 1:n, at timestamp = {ts}",
    ),
    "one partition too many": (
        lambda ddl: ddl.create_partition("", "b", "q"),
        "partition number (2) exceeds max configuration (2), collection: b",
    ),
    "drop the default partition": (
        lambda ddl: ddl.drop_partition("", "b", "_default"),
        "default partition cannot be deleted",
    ),
    "drop a partition of nothing": (
        lambda ddl: ddl.drop_partition("", "n", "p"),
        "code: CollectionNotExists, reason: can't find collection 1:n, at timestamp = {ts}",
    ),
    "an alias in no database": (
        lambda ddl: ddl.create_alias("nowhere", "a", "n"),
        "database nowhere not found",
    ),
    "an alias with the name of a collection": (
        lambda ddl: ddl.create_alias("", "a", "b"),
        "cannot create alias, collection already exists with same name: b",
    ),
    "an alias of nothing": (
        lambda ddl: ddl.create_alias("", "n", "m"),
        "collection not exists: n",
    ),
    "an alias of an alias": (
        lambda ddl: ddl.create_alias("", "al", "m"),
        "collection not exists: al",
    ),
    "an alias that another has": (
        lambda ddl: ddl.create_alias("", "b", "al"),
        "alias exists and already aliased to another collection, "
        "alias: al, collection: b, other collection: a",
    ),
    "alter an alias in no database": (
        lambda ddl: ddl.alter_alias("nowhere", "a", "al"),
        "database not found: nowhere",
    ),
    "alter an alias with the name of a collection": (
        lambda ddl: ddl.alter_alias("", "a", "b"),
        "cannot alter alias, collection already exists with same name: b",
    ),
    "alter an alias to nothing": (
        lambda ddl: ddl.alter_alias("", "n", "al"),
        "collection not exists: n",
    ),
    "alter an alias that is not there": (
        lambda ddl: ddl.alter_alias("", "a", "n"),
        "failed to alter alias, alias does not exist: n",
    ),
    "drop an alias in no database": (
        lambda ddl: ddl.drop_alias("nowhere", "n"),
        "database:nowhere not found",
    ),
    "a database that is there": (
        lambda ddl: ddl.create_database("other"),
        "database already exist: other",
    ),
    "drop the default database": (
        lambda ddl: ddl.drop_database("default"),
        "can not drop default database",
    ),
    "drop the database without a name": (
        lambda ddl: ddl.drop_database(""),
        "can not drop default database",
    ),
    "drop a database that is not empty": (
        lambda ddl: ddl.drop_database("full"),
        "database:full not empty, must drop all collections before drop database",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_refused_in_gos_words_with_nothing_changed(what: str) -> None:
    statement, text = REFUSED[what]
    world = World(limits=LIMITS)
    async with world.term() as term:
        await furnish(term)
        before, sent = world.live(""), len(world.effects.sent)
        used = +term.ticks.used
        with pytest.raises(CoordError) as refused:
            await statement(term.ddl)
        ts = world.timestamps.last
        assert str(refused.value) == text.format(ts=ts)
        assert refused.value.code == 1
        assert world.live("") == before
        assert len(world.effects.sent) == sent, "no message of a statement that is refused"
        assert +term.ticks.used == used
        assert term.consistent() == []


async def test_the_number_of_collections_is_limited() -> None:
    async with World(limits=LIMITS).term() as term:
        await furnish(term)
        for name in "cde":
            await term.ddl.create_collection(wanted(name))
        with pytest.raises(CoordError) as in_db:
            await term.ddl.create_collection(wanted("f"))
        assert str(in_db.value) == (
            "exceeded the limit number of collections per DB, maxCollectionNumPerDB={5}"
        )
        with pytest.raises(CoordError) as in_all:
            await term.ddl.create_collection(wanted("y", "full"))
        assert str(in_all.value) == "exceeded the limit number of collections, limit={6}"
        await term.ddl.drop_collection("", "e")
        await term.ddl.create_collection(wanted("y", "full"))


async def test_one_database_more_than_configured_beside_the_default_one() -> None:
    async with World(limits=LIMITS).term() as term:
        for name in "abc":
            await term.ddl.create_database(name)
        for name in "ad":  # the number is looked at before the name
            with pytest.raises(CoordError) as many:
                await term.ddl.create_database(name)
            assert str(many.value) == "database number (4) exceeds max configuration (3)"
        await term.ddl.drop_database("a")
        await term.ddl.create_database("d")
        assert term.consistent() == []


IDEMPOTENT: Final[dict[str, Statement]] = {
    "create the same collection": lambda ddl: ddl.create_collection(wanted("a")),
    "drop a collection that is not there": lambda ddl: ddl.drop_collection("", "n"),
    "drop a collection in no database": lambda ddl: ddl.drop_collection("nowhere", "n"),
    "create the same partition": lambda ddl: ddl.create_partition("", "b", "p"),
    "drop a partition that is not there": lambda ddl: ddl.drop_partition("", "b", "n"),
    "create the same alias": lambda ddl: ddl.create_alias("", "a", "al"),
    "drop an alias that is not there": lambda ddl: ddl.drop_alias("", "n"),
    "drop a database that is not there": lambda ddl: ddl.drop_database("nowhere"),
}


@pytest.mark.parametrize("what", IDEMPOTENT)
async def test_done_already(what: str) -> None:
    world = World(limits=LIMITS)
    async with world.term() as term:
        await furnish(term)
        before, sent = world.live(""), len(world.effects.sent)
        await IDEMPOTENT[what](term.ddl)
        assert world.live("") == before
        assert len(world.effects.sent) == sent
        assert term.consistent() == []
