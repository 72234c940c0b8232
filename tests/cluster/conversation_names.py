"""What the twins are asked about databases, collections, partitions and aliases."""

from __future__ import annotations

from typing import Any, Final

from testing import messages
from testing.cluster_talk import Talk

WRONG: Final = {"msg_type": 1200}
INT64, VARCHAR, BINARY, FLOATS = 5, 21, 100, 101
NO: Final = {"status": {"error_code": 1, "reason": "not today"}}
TTL: Final = [{"key": "collection.ttl.seconds", "value": "60"}]


def schema(name: str, *more: dict[str, Any], dynamic: bool = False) -> bytes:
    """A key, a vector and what is wanted more, as the proxies send it."""
    made = messages.message_class("schema.CollectionSchema")(
        name=name,
        description="of a test",
        enable_dynamic_field=dynamic,
        fields=[
            {"name": "id", "is_primary_key": True, "data_type": INT64, "description": "key"},
            {
                "name": "v",
                "data_type": FLOATS,
                "type_params": [{"key": "dim", "value": "8"}],
                "index_params": [{"key": "metric_type", "value": "L2"}],
            },
            *more,
        ],
    )
    return bytes(made.SerializeToString())


def wanted(name: str, **more: Any) -> dict[str, Any]:
    """The arguments of CreateCollection."""
    return {"db_name": "default", "collection_name": name, "schema": schema(name), **more}


async def databases(talk: Talk) -> None:
    await talk.ask("new", "CreateDatabase", db_name="shelf")
    await talk.ask("there already", "CreateDatabase", db_name="shelf")
    await talk.ask("the default one", "CreateDatabase", db_name="default")
    await talk.ask("two", "ListDatabases")
    await talk.ask("in it", "CreateCollection", **wanted("books", db_name="shelf"))
    await talk.ask("not empty", "DropDatabase", db_name="shelf")
    await talk.ask("the default one", "DropDatabase", db_name="default")
    await talk.ask("unknown", "DropDatabase", db_name="nowhere")
    await talk.ask("emptied", "DropCollection", db_name="shelf", collection_name="books")
    await talk.ask("empty", "DropDatabase", db_name="shelf")
    await talk.ask("one", "ListDatabases")
    await talk.ask("to stay", "CreateDatabase", db_name="attic")


async def collections(talk: Talk) -> None:
    create = "CreateCollection"
    await talk.ask("two shards", create, **wanted("books", shards_num=2, properties=TTL))
    await talk.ask("twice the same", create, **wanted("books", shards_num=2, properties=TTL))
    await talk.ask("twice, another", create, **wanted("books", shards_num=3))
    await talk.ask("no shards, no level", create, **wanted("films", shards_num=0))
    await talk.ask("db empty", create, **wanted("plays", db_name="", consistency_level=3))
    await talk.ask("elsewhere", create, **wanted("books", db_name="attic"))
    await talk.ask("unknown database", create, **wanted("x", db_name="nowhere"))
    await talk.ask("wrong type", create, **wanted("x"), base=WRONG)
    await talk.ask("other name", create, **(wanted("x") | {"schema": schema("y")}))
    await talk.ask("no schema", create, **(wanted("x") | {"schema": b"\xff\xff"}))
    await talk.ask("too many shards", create, **wanted("x", shards_num=17))
    system = {"name": "Timestamp", "data_type": INT64}
    await talk.ask("system field", create, **(wanted("x") | {"schema": schema("x", system)}))
    await talk.ask("dynamic", create, **(wanted("open") | {"schema": schema("open", dynamic=True)}))
    key = {"name": "k", "data_type": INT64, "is_partition_key": True}
    keyed = wanted("keyed") | {"schema": schema("keyed", key)}
    await talk.ask("partition key, no number", create, **keyed)
    await talk.ask("partition key, too many", create, **keyed, num_partitions=4097)
    await talk.ask("partition key", create, **keyed, num_partitions=3)
    with talk.peers.answering("proxy.Proxy/InvalidateCollectionMetaCache", **NO["status"]):
        await talk.ask("a proxy refuses", create, **wanted("x"))
    with talk.peers.answering("data.DataCoord/WatchChannels", **NO):
        await talk.ask("datacoord refuses", create, **wanted("x"))


async def questions(talk: Talk) -> None:
    """Of collections that are there; nothing is changed."""
    describe = "DescribeCollection"
    for name in ("books", "films", "plays", "open", "keyed", "none"):
        found = await talk.ask(name, describe, db_name="default", collection_name=name)
        await talk.ask(name, "HasCollection", db_name="default", collection_name=name)
        await talk.ask(name, "ShowPartitions", db_name="default", collection_name=name)
        by_id = {"collectionID": found.collectionID or 12345}
        await talk.ask(f"{name} by id", describe, **by_id)
        await talk.ask(f"{name} by id", "DescribeCollectionInternal", **by_id)
        await talk.ask(f"{name} by id", "ShowPartitions", **by_id)
        await talk.ask(f"{name} by id", "ShowPartitionsInternal", **by_id)
        for when, time in {"then": found.created_timestamp, "too early": 1 << 18}.items():
            asked = {"db_name": "default", "collection_name": name, "time_stamp": time}
            await talk.ask(f"{name} {when}", describe, **asked)
            await talk.ask(f"{name} {when}", "HasCollection", **asked)
    await talk.ask("by its alias", describe, db_name="default", collection_name="tomes")
    await talk.ask("elsewhere", describe, db_name="attic", collection_name="books")
    await talk.ask("in no database", describe, db_name="nowhere", collection_name="books")
    await talk.ask("in no database", "HasCollection", db_name="nowhere", collection_name="books")
    for database in ("default", "", "attic", "nowhere"):
        await talk.ask(database or "empty", "ShowCollections", db_name=database)
    await talk.ask("too early", "ShowCollections", db_name="default", time_stamp=1 << 18)
    await talk.ask("by name", "ShowPartitionsInternal", db_name="default", collection_name="books")
    for partition in ("_default", "north", "none"):
        asked = {"db_name": "default", "collection_name": "books", "partition_name": partition}
        await talk.ask(partition, "HasPartition", **asked)
    nowhere = {"db_name": "default", "collection_name": "none", "partition_name": "none"}
    await talk.ask("unknown collection", "HasPartition", **nowhere)
    await talk.ask("all", "ListDatabases")
    for rpc in (
        *("HasCollection", "DescribeCollection", "DescribeCollectionInternal", "ShowCollections"),
        *("HasPartition", "ShowPartitions", "ShowPartitionsInternal"),
    ):
        await talk.ask("wrong type", rpc, base=WRONG)


async def partitions(talk: Talk) -> None:
    books = {"db_name": "default", "collection_name": "books"}
    none = {"db_name": "default", "collection_name": "none", "partition_name": "north"}
    for rpc in ("CreatePartition", "DropPartition"):
        await talk.ask("wrong type", rpc, **books, partition_name="north", base=WRONG)
        await talk.ask("unknown collection", rpc, **none)
    for name in ("north", "south", "north"):
        await talk.ask(f"{name}", "CreatePartition", **books, partition_name=name)
    for name in ("south", "south", "_default"):
        await talk.ask(f"{name}", "DropPartition", **books, partition_name=name)
    await talk.ask("south again", "CreatePartition", **books, partition_name="south")
    with talk.peers.answering("proxy.Proxy/InvalidateCollectionMetaCache", **NO["status"]):
        await talk.ask("a proxy refuses", "CreatePartition", **books, partition_name="west")
        await talk.ask("a proxy refuses", "DropPartition", **books, partition_name="north")


async def aliases(talk: Talk) -> None:
    async def ask(case: str, rpc: str, alias: str, name: str = "", db: str = "default") -> None:
        more = {"collection_name": name} if name else {}
        await talk.ask(case, rpc, db_name=db, alias=alias, **more)

    await ask("new", "CreateAlias", "tomes", "books")
    await ask("twice the same", "CreateAlias", "tomes", "books")
    await ask("of another", "CreateAlias", "tomes", "films")
    await ask("of an alias", "CreateAlias", "again", "tomes")
    await ask("of nothing", "CreateAlias", "again", "none")
    await ask("like a collection", "CreateAlias", "films", "books")
    await ask("in no database", "CreateAlias", "again", "books", "nowhere")
    await ask("to another", "AlterAlias", "tomes", "films")
    await ask("and back", "AlterAlias", "tomes", "books")
    await ask("unknown", "AlterAlias", "again", "books")
    await ask("to nothing", "AlterAlias", "tomes", "none")
    await ask("like a collection", "AlterAlias", "films", "books")
    await ask("in no database", "AlterAlias", "tomes", "books", "nowhere")
    await ask("to be dropped", "CreateAlias", "brief", "films")
    await ask("there", "DropAlias", "brief")
    await ask("gone", "DropAlias", "brief")
    await ask("in no database", "DropAlias", "tomes", db="nowhere")
    for rpc in ("CreateAlias", "AlterAlias", "DropAlias"):
        await talk.ask("wrong type", rpc, db_name="default", alias="tomes", base=WRONG)


async def changes(talk: Talk) -> None:
    more = [{"key": "owner", "value": "ann"}]
    alter = "AlterCollection"
    await talk.ask("no name", alter, properties=TTL)
    await talk.ask("no properties", alter, collection_name="books")
    await talk.ask("unknown", alter, db_name="default", collection_name="none", properties=TTL)
    await talk.ask("one more", alter, db_name="default", collection_name="books", properties=more)
    await talk.ask("altered", "DescribeCollection", db_name="default", collection_name="books")
    longer = [{"key": "collection.ttl.seconds", "value": "90"}]
    await talk.ask("by alias", alter, db_name="default", collection_name="tomes", properties=longer)
    await talk.ask("twice", "DescribeCollection", db_name="default", collection_name="books")
    with talk.peers.answering("data.DataCoord/BroadcastAlteredCollection", **NO["status"]):
        await talk.ask(
            "refused", alter, db_name="default", collection_name="films", properties=more
        )

    async def rename(case: str, old: str, new: str, database: str = "", **how: Any) -> None:
        names = {"oldName": old, "newName": new, "newDBName": database}
        await talk.ask(case, "RenameCollection", db_name="default", **names, **how)

    await rename("unknown", "none", "nothing")
    await rename("to another's name", "films", "books")
    await rename("to an alias", "films", "tomes")
    await rename("to its own name", "films", "films")
    await rename("by alias", "tomes", "volumes")
    await rename("to no database", "films", "films", "nowhere")
    await rename("with aliases", "books", "books2", "attic")
    await rename("wrong type", "films", "movies", base=WRONG)
    await rename("plain", "films", "movies")
    await rename("to another database", "movies", "movies", "attic")
    await rename("of old", "films", "movies")
    await talk.ask("moved", "DescribeCollection", db_name="attic", collection_name="movies")
    await talk.ask("moved", "ShowCollections", db_name="default")
    await rename("there", "books", "books2")
    await rename(
        "and back", "books2", "books"
    )  # from now on Go has the new properties in its store


async def drops(talk: Talk) -> None:
    drop = "DropCollection"
    await talk.ask("by alias", drop, db_name="default", collection_name="tomes")
    await talk.ask("unknown", drop, db_name="default", collection_name="none")
    await talk.ask("in no database", drop, db_name="nowhere", collection_name="books")
    await talk.ask("wrong type", drop, db_name="default", collection_name="plays", base=WRONG)
    with talk.peers.answering("proxy.Proxy/InvalidateCollectionMetaCache", **NO["status"]):
        await talk.ask("a proxy refuses", drop, db_name="default", collection_name="plays")
    gone = await talk.ask("there", "DescribeCollection", db_name="default", collection_name="open")
    await talk.ask("there", drop, db_name="default", collection_name="open")
    await talk.ask("gone", drop, db_name="default", collection_name="open")
    await talk.ask("gone", "HasCollection", db_name="default", collection_name="open")
    await talk.ask("gone", "DescribeCollection", collectionID=gone.collectionID)
    await talk.ask("gone", "DescribeCollectionInternal", collectionID=gone.collectionID)
    await talk.ask("gone", "ShowPartitions", collectionID=gone.collectionID)
    await talk.ask("gone", "ShowPartitionsInternal", collectionID=gone.collectionID)
    of_dropped = {"db_name": "default", "collection_name": "open", "alias": "closed"}
    await talk.ask("of one dropped", "CreateAlias", **of_dropped)
    await talk.ask("anew", "CreateCollection", **wanted("open"))
    await talk.ask("anew", "DescribeCollection", db_name="default", collection_name="open")
    await talk.ask("last", drop, db_name="default", collection_name="plays")
    like = {"db_name": "default", "collection_name": "books", "alias": "plays"}
    await talk.ask("like one dropped", "CreateAlias", **like)
