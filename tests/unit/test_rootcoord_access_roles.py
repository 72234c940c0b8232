"""Roles and who has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from testing.access import AccessTerm, AccessWorld, grant_entity, status_of
from testing.limits import ACCESS_LIMITS

NO_ROLE = "not found the role, maybe the role isn't existed or internal system error"
NO_USER = "not found the user, maybe the user isn't existed or internal system error"
FAILED = "fail to execute task when operate the user and role"


@pytest.fixture
def world() -> AccessWorld:
    return AccessWorld()


@pytest.fixture
async def term(world: AccessWorld) -> AsyncIterator[AccessTerm]:
    async with world.term() as term:
        yield term
        assert term.state.check() == []


async def test_a_role_is_an_empty_key(world: AccessWorld, term: AccessTerm) -> None:
    await term.role("r")
    assert world.room() == {"roles/r": b""}
    assert term.proxies.told == []
    assert await term.refused("CreateRole", entity={"name": "r"}) == (
        35,
        "fail to create role, error: the key[root-coord/credential/roles/r] has existed",
    )


async def test_a_hundred_callers_make_one_role(world: AccessWorld, term: AccessTerm) -> None:
    calls = (term.call("CreateRole", entity={"name": "r"}) for _ in range(100))
    found = [status_of(reply) for reply in await asyncio.gather(*calls)]
    assert found.count((0, "")) == 1
    existed = "fail to create role, error: the key[root-coord/credential/roles/r] has existed"
    assert found.count((35, existed)) == 99


async def test_a_hundred_callers_do_not_break_the_limit(term: AccessTerm) -> None:
    calls = (term.call("CreateRole", entity={"name": f"r{n}"}) for n in range(100))
    found = [status_of(reply)[0] for reply in await asyncio.gather(*calls)]
    assert (found.count(0), found.count(35), term.state.role_count) == (10, 90, 10)


async def test_the_number_of_roles_is_looked_at_first() -> None:
    async with AccessWorld(replace(ACCESS_LIMITS, max_roles=1)).term() as term:
        await term.role("r")
        for name in ("r", "s"):
            assert await term.refused("CreateRole", entity={"name": name}) == (
                35,
                "fail to create role, error: "
                "unable to create role because the number of roles has reached the limit",
            )


async def test_names_that_cannot_be(world: AccessWorld, term: AccessTerm) -> None:
    before = world.revision
    for name, reason in {
        "": "the role name in the role info is empty",
        "\t\u2003": "the role name in the role info is empty",
        "a/b": "the role name must not be a path: a/b",
        ".": "the role name must not be a path: .",
        'a"b': "the role name must not have quotes, backslashes or control characters",
        "a\\b": "the role name must not have quotes, backslashes or control characters",
        "é" * 2049: "the role name has 4098 bytes, at most 4096 are allowed",
    }.items():
        refused = (35, f"fail to create role, error: {reason}")
        assert await term.refused("CreateRole", entity={"name": name}) == refused
    assert await term.refused("CreateRole") == (
        35,
        "fail to create role, error: the role name in the role info is empty",
    )
    assert world.revision == before


async def test_a_user_gets_and_loses_a_role(world: AccessWorld, term: AccessTerm) -> None:
    await term.user("ann")
    await term.role("r")
    term.proxies.told.clear()
    for _ in range(2):
        await term.ok("OperateUserRole", username="ann", role_name="r", type=0)
        assert world.room()["user-role-mapping/ann/r"] == b""
    revision = world.revision
    for _ in range(2):
        await term.ok("OperateUserRole", username="ann", role_name="r", type=1)
        assert "user-role-mapping/ann/r" not in world.room()
    assert world.revision == revision + 1
    assert term.proxies.told == [(1, "ann/r")] * 2 + [(2, "ann/r")] * 2


async def test_who_must_be_there_for_a_mapping(world: AccessWorld, term: AccessTerm) -> None:
    await term.user("ann")
    await term.role("r")
    before = world.revision
    term.proxies.told.clear()

    async def refused(user: str, role: str, operation: int) -> str:
        code, text = await term.refused(
            "OperateUserRole", username=user, role_name=role, type=operation
        )
        assert code == 37
        return text

    for operation in (0, 1, 7, -1):
        for role in ("x", "", " ", "r/", "a/b"):
            assert await refused("ann", role, operation) == NO_ROLE
    for operation in (0, 7):
        for user in ("x", "", " "):
            assert await refused(user, "r", operation) == NO_USER
    assert await refused("ann", "r", 7) == FAILED
    assert await refused(" ", "r", 1) == FAILED
    assert (world.revision, term.proxies.told) == (before, [])
    await term.ok("OperateUserRole", username="x", role_name="r", type=1)
    assert (world.revision, term.proxies.told) == (before, [(2, "x/r")])


async def test_a_user_of_go_with_a_slash_gets_no_role(world: AccessWorld) -> None:
    await world.write(**{"users/a/b": b"{}", "roles/r": b""})
    async with world.term() as term:
        assert await term.refused("OperateUserRole", username="a/b", role_name="r", type=0) == (
            37,
            "the user name must not be a path: a/b",
        )


async def test_a_role_goes_from_its_users(world: AccessWorld, term: AccessTerm) -> None:
    for user in ("ann", "bob"):
        await term.user(user)
    for role in ("r", "rr"):
        await term.role(role)
        for user in ("ann", "bob"):
            await term.ok("OperateUserRole", username=user, role_name=role, type=0)
    await term.ok("DropRole", role_name="r")
    assert {key for key in world.room() if not key.startswith("users/")} == {
        "roles/rr",
        "user-role-mapping/ann/rr",
        "user-role-mapping/bob/rr",
    }
    assert term.proxies.told[-1] == (6, "r")
    for name in ("r", "", " ", "a/b"):
        assert await term.refused("DropRole", role_name=name) == (36, NO_ROLE)


async def test_a_role_with_privileges_stays(world: AccessWorld, term: AccessTerm) -> None:
    await term.user("root")
    await term.role("r")
    await term.ok("OperatePrivilege", entity=grant_entity(db_name="other"))
    await term.ok("OperatePrivilege", entity=grant_entity())
    assert await term.refused("DropRole", role_name="r") == (
        36,
        "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges",
    )
    await term.ok("OperatePrivilege", entity=grant_entity(), type=1)
    refused = await term.refused("DropRole", role_name="r")
    assert refused[0] == 36, "Go looks at the database `default` alone"
    await term.ok("OperatePrivilege", entity=grant_entity(db_name="other"), type=1)
    await term.ok("DropRole", role_name="r")


async def test_a_role_inherits_nothing_from_one_that_go_dropped(
    world: AccessWorld, term: AccessTerm
) -> None:
    await term.user("root")
    await term.role("r")
    await term.ok("OperatePrivilege", entity=grant_entity(db_name="other"))
    await world.write(**{"roles/r": None})  # as Go does, which leaves the grant
    await term.mirror.reached(world.revision)
    await term.role("r")
    assert not term.state.grants_of("r")
    await term.ok("DropRole", role_name="r")


async def test_select_role(world: AccessWorld, term: AccessTerm) -> None:
    for user in ("b", "a", "a-b"):
        await term.user(user)
    for role in ("s", "r"):
        await term.role(role)
    for user in ("b", "a", "a-b"):
        await term.ok("OperateUserRole", username=user, role_name="r", type=0)
    await world.write(**{"roles/with/slash": b"", "user-role-mapping/with/two/slashes": b""})
    await term.mirror.reached(world.revision)

    async def select(**fields: object) -> list[tuple[str, list[str]]]:
        reply = await term.ok("SelectRole", **fields)
        return [(each.role.name, [user.name for user in each.users]) for each in reply.results]

    assert await select(include_user_info=True) == [("r", ["a-b", "a", "b"]), ("s", [])]
    assert await select() == [("r", []), ("s", [])]
    assert await select(role={"name": "r"}) == [("r", [])]
    assert await select(role={"name": "x"}) == []
    for blank in ("", " "):
        assert await term.refused("SelectRole", role={"name": blank}) == (
            38,
            "fail to select the role to check the role name",
        )
    reply = await term.ok("ListPolicy")
    assert list(reply.user_roles) == ["a-b/r", "a/r", "b/r"]
