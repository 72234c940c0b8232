"""Metadata passes from Go Milvus 2.2.16 to the rootcoord under test and back, all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from testing.cluster import Cluster, cluster, pair_under_test
from testing.cluster_peers import Peers
from testing.cluster_talk import Talk
from testing.go_milvus import GoMilvus
from tests.cluster.conversation_access import ADD, GRANT, REMOVE, REVOKE, grant
from tests.cluster.conversation_names import INT64, TTL, schema, wanted

pytestmark = [pytest.mark.etcd, pytest.mark.go, pytest.mark.timeout(120)]

COLLECTIONS: Final = 50
KEY: Final = {"name": "k", "data_type": INT64, "is_partition_key": True}


@pytest_asyncio.fixture
async def pair(
    go_milvus: GoMilvus, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    """Go leads, the one under test stands by; a datacoord of Go serves both."""
    pytest.importorskip("confluent_kafka")
    second = pair_under_test()[1]
    folder = tmp_path_factory.mktemp("mixed")
    async with cluster(go_milvus, folder, pair=("go", second), roles=("datacoord",)) as made:
        yield made


async def test_metadata_goes_there_and_back(pair: Cluster) -> None:
    await make(pair, "first")
    made_by_go = await everything(pair)
    assert len(made_by_go["default"]) == COLLECTIONS - len(range(0, COLLECTIONS, 10))

    await pair.take_over("SIGTERM")
    assert await everything(pair) == made_by_go
    await make(pair, "second")
    await change(pair, "first")
    made_by_the_other = await everything(pair)
    assert len(made_by_the_other["default"]) == 2 * len(made_by_go["default"])

    await pair.take_over("SIGTERM")
    assert await everything(pair) == made_by_the_other
    await make(pair, "third")
    await change(pair, "second")
    made_by_go_again = await everything(pair)

    await pair.take_over("SIGKILL")
    assert await everything(pair) == made_by_go_again


async def make(pair: Cluster, batch: str) -> None:
    """Collections of all kinds, with partitions and aliases, some dropped; users with grants."""
    ask = asking(pair)
    for number in range(COLLECTIONS):
        name = f"{batch}_{number}"
        how = wanted(name, shards_num=1 + number % 3, consistency_level=number % 4)
        if number % 4 == 1:
            how |= {"schema": schema(name, KEY), "num_partitions": 5}
        elif number % 4 == 2:
            how |= {"schema": schema(name, dynamic=True), "properties": TTL}
        await ask("CreateCollection", **how)
        if number % 4 != 1:
            await ask("CreatePartition", **of(name), partition_name="north")
            await ask("CreatePartition", **of(name), partition_name="south")
            await ask("DropPartition", **of(name), partition_name="north")
        if number % 10 == 0:
            await ask("DropCollection", **of(name))
        elif number % 5 == 0:
            await ask("CreateAlias", **of(name), alias=f"alias_of_{name}")
    await ask("CreateDatabase", db_name=f"db_{batch}")
    await ask("CreateCollection", **wanted(f"{batch}_0", db_name=f"db_{batch}"))
    for user in ("ann", "bob"):
        named = {"username": f"{batch}_{user}", "encrypted_password": f"$2a$04${user}"}
        await ask("CreateCredential", **named)
        await ask("CreateRole", entity={"name": f"{batch}_{user}"})
        await ask(
            "OperateUserRole", username=named["username"], role_name=named["username"], type=ADD
        )
    for privilege in ("Query", "Insert"):
        entity = grant(f"{batch}_ann", "Collection", f"{batch}_1", privilege)
        await ask("OperatePrivilege", entity=entity, type=GRANT)


async def change(pair: Cluster, batch: str) -> None:
    """All that can be changed of what `make` has made."""
    ask = asking(pair)
    for number in range(1, COLLECTIONS, 10):
        name = f"{batch}_{number}"
        await ask("AlterCollection", **of(name), properties=[{"key": "owner", "value": batch}])
        await ask("RenameCollection", db_name="default", oldName=name, newName=f"{name}_renamed")
    await ask("AlterAlias", **of(f"{batch}_7"), alias=f"alias_of_{batch}_5")
    await ask("DropAlias", db_name="default", alias=f"alias_of_{batch}_15")
    await ask("CreatePartition", **of(f"{batch}_2"), partition_name="west")
    await ask("DropPartition", **of(f"{batch}_2"), partition_name="south")
    await ask(
        "RenameCollection",
        db_name=f"db_{batch}",
        oldName=f"{batch}_0",
        newName=f"{batch}_0",
        newDBName="default",
    )
    await ask("DropCollection", **of(f"{batch}_3"))
    await ask("UpdateCredential", username=f"{batch}_bob", encrypted_password="$2a$04$new")
    await ask("DeleteCredential", username=f"{batch}_ann")
    bob = f"{batch}_bob"
    await ask("OperateUserRole", username=bob, role_name=bob, type=REMOVE)
    await ask("DropRole", role_name=bob)
    entity = grant(f"{batch}_ann", "Collection", f"{batch}_1", "Insert")
    await ask("OperatePrivilege", entity=entity, type=REVOKE)


async def everything(pair: Cluster) -> dict[str, Any]:
    """What the active one tells of all that there is, with ids and times as they are."""
    talk = Talk(pair.active.address, Peers(), exact=True)
    found: dict[str, Any] = {}
    databases = await talk.ask("", "ListDatabases")
    for database in sorted(databases.db_names):
        shown = await talk.ask("", "ShowCollections", db_name=database)
        found[database] = sorted(zip(shown.collection_names, shown.collection_ids, strict=True))
        for name in shown.collection_names:
            named = {"db_name": database, "collection_name": name}
            for rpc in ("DescribeCollection", "ShowPartitions"):
                await talk.ask(f"{database}.{name}", rpc, **named)
    await talk.ask("", "ListPolicy")
    await talk.ask("", "SelectRole", include_user_info=True)
    users = await talk.ask("", "SelectUser", include_role_info=True)
    for result in users.results:
        await talk.ask(result.user.name, "GetCredential", username=result.user.name)
    answers = {f"{one.rpc} {one.case}": one.reply for one in talk.exchanges}
    assert all(answer["status"] == {} for answer in answers.values()), answers
    return found | answers


def of(name: str) -> dict[str, str]:
    return {"db_name": "default", "collection_name": name}


def asking(pair: Cluster) -> Any:
    """`await ask(rpc, **fields)`: a statement that has to succeed."""
    talk = Talk(pair.active.address, Peers())

    async def ask(rpc: str, **fields: Any) -> None:
        await talk.ask("", rpc, **fields)
        assert talk.exchanges[-1].reply == {}, talk.exchanges[-1]

    return ask
