"""What is made anew has nothing of what had its name before; and what is made can be described."""

from __future__ import annotations

import pytest

from milvus_coord.coordinators.rootcoord.access.catalog import new_grantee_id, together
from milvus_coord.coordinators.rootcoord.access.state_records import Grantee, PolicyOp
from testing.access import AccessWorld, grant_entity
from testing.rootcoord_world import Term, World, wanted


async def grant(term: Term, *grantees: Grantee) -> None:
    """Let each of them insert."""
    catalog = term.world.access_catalog
    for each in grantees:
        id_ = new_grantee_id(each)
        steps = catalog.file_grantee(each), catalog.grant(id_, "PrivilegeInsert", "root")
        await term.metadata.commit(together(*steps))


def held(term: Term) -> list[str]:
    return [each.grantee.path for each in term.state.access.grants()]


async def test_a_dropped_collection_takes_the_grants_on_it_along() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_database("db")
        for db_name in ("", "db"):
            await term.ddl.create_collection(wanted("a", db_name))
        await term.ddl.create_alias("", "a", "al")
        gone = [
            Grantee("r", "Collection", "default.a"),
            Grantee("s", "Collection", "a"),  # from before there were databases
            Grantee("r", "Collection", "default.al"),
        ]
        stay = [
            *(Grantee("r", "Collection", each) for each in ("db.a", "default.ab", "default.*")),
            Grantee("r", "User", "default.a"),
        ]
        await grant(term, *gone, *stay)
        await term.ddl.drop_collection("", "a")
        await term.ddl.create_collection(wanted("a"))
        assert held(term) == sorted(each.path for each in stay)
        told = sorted(key for kind, key in world.effects.policies if kind == PolicyOp.REVOKE)
        assert [each.split("Collection-")[1].split('"')[0] for each in told] == [
            *("default.a", "default.al", "default.a")
        ]
        await world.quiet(term)
        assert term.consistent() == []


async def test_a_dropped_database_takes_the_grants_in_it_along() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_database("db")
        kept = Grantee("r", "Collection", "default.*")
        gone = (Grantee("r", "Global", "db.*"), Grantee("r", "Collection", "db.soon"))
        await grant(term, *gone, kept)
        await term.ddl.drop_database("db")
        await term.ddl.create_database("db")
        assert held(term) == [kept.path]
        assert len(world.effects.policies) == 2


async def test_a_dropped_alias_takes_the_grants_on_it_along() -> None:
    async with World().term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_alias("", "a", "x")
        kept = Grantee("r", "Collection", "default.a")
        await grant(term, Grantee("r", "Collection", "default.x"), kept)
        await term.ddl.drop_alias("", "x")
        assert held(term) == [kept.path]


async def test_a_grant_before_its_collection_is_there_holds() -> None:
    """As in Go: scripts grant first and create then."""
    async with World().term() as term:
        early = Grantee("r", "Collection", "default.a")
        await grant(term, early)
        await term.ddl.create_collection(wanted("a"))
        assert held(term) == [early.path]


async def test_a_drop_that_fails_leaves_the_grants() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        kept = Grantee("r", "Collection", "default.a")
        await grant(term, kept)
        world.faults.fail("proxies")
        with pytest.raises(Exception, match="proxies"):
            await term.ddl.drop_collection("", "a")
        assert held(term) == [kept.path]
        assert world.effects.policies == []


async def test_many_grants_go_in_transactions_that_etcd_takes() -> None:
    async with World().term() as term:
        await term.ddl.create_collection(wanted("a"))
        await grant(term, *(Grantee(f"r{i}", "Collection", "default.a") for i in range(300)))
        await term.ddl.drop_collection("", "a")
        assert held(term) == []


async def test_a_deleted_user_takes_the_grants_on_him_along() -> None:
    async with AccessWorld().term() as term:
        for name in ("root", "ann", "bob"):
            await term.user(name)
        await term.role("r")
        for name in ("ann", "bob"):
            entity = grant_entity("r", "User", name, "UpdateUser")
            await term.ok("OperatePrivilege", entity=entity)
        await term.ok("DeleteCredential", username="ann")
        await term.user("ann")
        assert [each.grantee.target for each in term.state.grants()] == ["default.bob"]


async def test_a_collection_named_as_an_alias_of_a_dropped_one_can_be_described() -> None:
    world = World()
    world.effects.gc_finished = False
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_alias("", "a", "x")
        await term.ddl.drop_collection("", "a")
        await term.ddl.create_collection(wanted("x"))
        made = term.collection("x")
        assert made.name == "x"
        await term.ddl.create_collection(wanted("x"))
        await term.ddl.create_alias("", "x", "a")
        assert term.collection("a") == made
    world.effects.gc_finished = True
    async with world.term() as term:
        await world.quiet(term)
        assert term.collection("x") == term.collection("a") == made
        assert term.consistent() == []


async def test_a_collection_renamed_to_an_alias_of_a_dropped_one_can_be_described() -> None:
    world = World()
    world.effects.gc_finished = False
    async with world.term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_alias("", "a", "x")
        await term.ddl.drop_collection("", "a")
        await term.ddl.create_collection(wanted("b"))
        await term.ddl.rename_collection("", "b", "", "x")
        assert term.collection("x").name == "x"


async def test_an_alias_of_a_collection_that_users_see_stays() -> None:
    async with World().term() as term:
        await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_alias("", "a", "x")
        with pytest.raises(Exception, match="different parameters"):
            await term.ddl.create_collection(wanted("x"))
        assert term.collection("x").name == "a"
