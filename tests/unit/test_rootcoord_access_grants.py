"""Privileges: what a request must say, how grants are kept, how they are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from milvus_coord.coordinators.rootcoord.access.rules_privileges import PRIVILEGES, shown_name
from milvus_coord.pb.milvus.proto.common import ObjectPrivilege, ObjectType
from testing.access import AccessTerm, AccessWorld, grant_entity

FAILED = "fail to execute task when operating the privilege"
NO_ROLE = "not found the role, maybe the role isn't existed or internal system error"
NO_USER = "not found the user, maybe the user isn't existed or internal system error"
TYPES = "supported the object types: [Collection Global User]"
BAD_TYPE = "invalid operate privilege type, current type:"
VALID_TYPES = "valid value: [Grant, Revoke]"
MISSING: Any = object()


@pytest.fixture
def world() -> AccessWorld:
    return AccessWorld()


@pytest.fixture
async def term(world: AccessWorld) -> AsyncIterator[AccessTerm]:
    async with world.term() as term:
        await term.user("root")
        await term.role("r")
        term.proxies.told.clear()
        yield term
        assert term.state.check() == []


def entity(**parts: Any) -> dict[str, Any]:
    """A complete entity with some parts replaced; MISSING ones are left out."""
    merged = {**grant_entity(), **parts}
    return {name: part for name, part in merged.items() if part is not MISSING}


def test_the_lists_are_those_of_the_wire() -> None:
    names = [name for privileges in PRIVILEGES.values() for name in privileges]
    assert sorted(f"Privilege{name}" for name in names) == sorted(
        str(each.name) for each in ObjectPrivilege
    )
    assert set(PRIVILEGES) == {each.name for each in ObjectType}
    assert {name: len(privileges) for name, privileges in PRIVILEGES.items()} == {
        "Collection": 16,
        "Global": 20,
        "User": 2,
    }
    assert [shown_name(stored) for stored in ("PrivilegeAll", "*", "PrivilegeX", "All")] == [
        "All",
        "*",
        "",
        "",
    ]


REFUSALS = [
    ({"entity": entity(), "type": 5}, f"{BAD_TYPE} 5, {VALID_TYPES}"),
    ({"type": -1}, f"{BAD_TYPE} -1, {VALID_TYPES}"),
    ({}, "the grant entity in the request is nil"),
    ({"entity": {}}, "the object entity is nil"),
    ({"entity": entity(object={})}, f"not found the object type[name: ], {TYPES}"),
    (
        {"entity": entity(object={"name": "global"})},
        f"not found the object type[name: global], {TYPES}",
    ),
    ({"entity": entity(role=MISSING)}, "the role entity is nil"),
    ({"entity": entity(role={})}, "the name in the role entity is empty"),
    ({"entity": entity(role={"name": " "})}, NO_ROLE),
    ({"entity": entity(role={"name": "x"})}, NO_ROLE),
    ({"entity": entity(grantor=MISSING)}, "the grantor entity is nil"),
    ({"entity": entity(grantor={})}, "the user entity in the grantor entity is nil"),
    (
        {"entity": entity(grantor={"user": {}})},
        "the name in the user entity of the grantor entity is empty",
    ),
    ({"entity": entity(grantor={"user": {"name": "x"}})}, NO_USER),
    (
        {"entity": entity(grantor={"user": {"name": "root"}})},
        "the privilege entity in the grantor entity is nil",
    ),
    ({"entity": grant_entity(privilege="")}, "not found the privilege name[]"),
    (
        {"entity": grant_entity(privilege="PrivilegeInsert")},
        "not found the privilege name[PrivilegeInsert]",
    ),
    (
        {"entity": grant_entity(privilege="CreateCollection")},
        "not found the privilege name[CreateCollection]",
    ),
    ({"entity": grant_entity(object_type="User")}, "not found the privilege name[Insert]"),
    ({"entity": grant_entity(object_name="")}, FAILED),
    ({"entity": grant_entity(object_name=" ")}, FAILED),
]


@pytest.mark.parametrize(("fields", "text"), REFUSALS)
async def test_what_a_request_must_say(
    world: AccessWorld, term: AccessTerm, fields: dict[str, Any], text: str
) -> None:
    before = world.revision
    for operation in (0, 1):
        assert await term.refused("OperatePrivilege", **{"type": operation, **fields}) == (41, text)
    assert (world.revision, term.proxies.told) == (before, [])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"object_name": "a/b"}, "the object name must not be a path: a/b"),
        ({"object_name": "db.c"}, "the object name must not have dots: db.c"),
        ({"db_name": "a.b"}, "the database name must not have dots: a.b"),
        ({"db_name": "/"}, "the database name must not be a path: /"),
        ({"db_name": " "}, "the database name must not be blank"),
        (
            {"object_name": 'a"'},
            "the object name must not have quotes, backslashes or control characters",
        ),
        ({"object_name": "x" * 4097}, "the object name has 4097 bytes, at most 4096 are allowed"),
    ],
)
async def test_names_that_would_not_be_read_back(
    world: AccessWorld, term: AccessTerm, fields: dict[str, str], text: str
) -> None:
    before = world.revision
    asked = grant_entity(**fields)
    assert await term.refused("OperatePrivilege", entity=asked) == (41, text)
    assert term.proxies.told == []
    await term.ok("OperatePrivilege", entity=asked, type=1)  # there is nothing to take away
    assert world.revision == before


async def test_a_grant_is_kept_as_go_keeps_it(world: AccessWorld, term: AccessTerm) -> None:
    start = world.room()
    policy = '{"PType":"p","V0":"r","V1":"Collection-default.c","V2":"PrivilegeInsert"}'
    for _ in range(2):
        await term.ok("OperatePrivilege", entity=grant_entity())
    written = {key: value for key, value in world.room().items() if key not in start}
    assert written == {
        "grantee-privileges/r/Collection/default.c": b"e45caafff5ff2fcc",
        "grantee-id/e45caafff5ff2fcc/PrivilegeInsert": b"root",
    }
    assert term.proxies.told == [(3, policy)] * 2
    assert list((await term.ok("ListPolicy")).policy_infos) == [policy]
    revision = world.revision
    for _ in range(2):
        await term.ok("OperatePrivilege", entity=grant_entity(), type=1)
    assert world.revision == revision + 1
    assert term.proxies.told[2:] == [(4, policy)] * 2
    assert world.room() == {
        **start,
        "grantee-privileges/r/Collection/default.c": b"e45caafff5ff2fcc",
    }
    assert list((await term.ok("ListPolicy")).policy_infos) == []


async def test_global_means_all_objects(world: AccessWorld, term: AccessTerm) -> None:
    for object_name, privilege in (("ignored/name", "All"), ("", "*")):
        await term.ok(
            "OperatePrivilege",
            entity=grant_entity("r", "Global", object_name, privilege, db_name="*"),
        )
    grantee_id = world.room()["grantee-privileges/r/Global/*.*"].decode()
    assert world.room()[f"grantee-id/{grantee_id}/PrivilegeAll"] == b"root"
    assert [key for _, key in term.proxies.told] == [
        '{"PType":"p","V0":"r","V1":"Global-*.*","V2":"PrivilegeAll"}',
        '{"PType":"p","V0":"r","V1":"Global-*.*","V2":"*"}',
    ]
    found = await grants(term, "r", db_name="*")
    assert found == [("Global", "*", "*", "*", "root"), ("Global", "*", "*", "All", "root")]


async def test_grants_without_a_database_belong_to_default(world: AccessWorld) -> None:
    await world.write(
        **{
            "users/root": b"{}",
            "users/ann": b"{}",
            "roles/r": b"",
            "grantee-privileges/r/Collection/c": b"0123456789abcdef",
            "grantee-id/0123456789abcdef/PrivilegeSearch": b"ann",
            "grantee-privileges/r/Collection/default.c": b"fedcba9876543210",
            "grantee-id/fedcba9876543210/PrivilegeQuery": b"root",
        }
    )
    async with world.term() as term:
        one = await grants(term, "r", object={"name": "Collection"}, object_name="c")
        assert one == [("Collection", "c", "default", "Search", "ann")]
        every = await grants(term, "r")
        assert every == [*one, ("Collection", "c", "default", "Query", "root")]
        await term.ok("OperatePrivilege", entity=grant_entity())
        assert world.room()["grantee-id/0123456789abcdef/PrivilegeInsert"] == b"root"
        assert term.proxies.told[-1][1] == (
            '{"PType":"p","V0":"r","V1":"Collection-default.c","V2":"PrivilegeInsert"}'
        )
        await term.ok("OperatePrivilege", entity=grant_entity(privilege="Search"), type=1)
        assert "grantee-id/0123456789abcdef/PrivilegeSearch" not in world.room()
        # As in Go the old key hides the new one, also from those who revoke.
        await term.ok("OperatePrivilege", entity=grant_entity(privilege="Query"), type=1)
        assert "grantee-id/fedcba9876543210/PrivilegeQuery" in world.room()


@pytest.mark.parametrize("value", [b"", b"a/b", b"\xff"])
async def test_a_grantee_with_an_impossible_id_is_filed_anew(value: bytes) -> None:
    world = AccessWorld()
    await world.write(
        **{
            "users/root": b"{}",
            "roles/r": b"",
            "grantee-privileges/r/Collection/default.c": value,
        }
    )
    async with world.term() as term:
        await term.ok("OperatePrivilege", entity=grant_entity(), type=1)
        await term.ok("OperatePrivilege", entity=grant_entity())
        stored = world.room()
        assert stored["grantee-privileges/r/Collection/default.c"] == b"e45caafff5ff2fcc"
        assert stored["grantee-id/e45caafff5ff2fcc/PrivilegeInsert"] == b"root"


async def test_select_grant(world: AccessWorld, term: AccessTerm) -> None:
    for asked in (
        grant_entity(object_name="b"),
        grant_entity(object_name="a", privilege="Search"),
        grant_entity(object_name="a", privilege="*"),
        grant_entity(object_name="a", db_name="other"),
        grant_entity("r", "User", "*", "UpdateUser"),
    ):
        await term.ok("OperatePrivilege", entity=asked)
    assert await grants(term, "r") == [
        ("Collection", "a", "default", "*", "root"),
        ("Collection", "a", "default", "Search", "root"),
        ("Collection", "b", "default", "Insert", "root"),
        ("User", "*", "default", "UpdateUser", "root"),
    ]
    # Without the name of an object its type does not count.
    assert await grants(term, "r", object={"name": "User"}) == await grants(term, "r")
    assert await grants(term, "r", object_name="a") == await grants(term, "r")
    of_one = {"object": {"name": "Collection"}, "object_name": "a"}
    assert len(await grants(term, "r", **of_one)) == 2
    assert await grants(term, "r", db_name="other", **of_one) == [
        ("Collection", "a", "other", "Insert", "root")
    ]
    for nothing in (
        {**of_one, "object_name": "x"},
        {**of_one, "object_name": "other.a"},
        {"db_name": "x"},
    ):
        assert await grants(term, "r", **nothing) == []
    await world.write(**{"grantee-id/e45caafff5ff2fcc/PrivilegeOfTheFuture": b"root"})
    await world.write(**{"grantee-privileges/r/Collection/default.c": b"e45caafff5ff2fcc"})
    await term.mirror.reached(world.revision)
    assert await grants(term, "r", **{**of_one, "object_name": "c"}) == [
        ("Collection", "c", "default", "", "root")
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "the grant entity in the request is nil"),
        ({"entity": {}}, "the role entity is nil"),
        ({"entity": {"role": {}}}, "the name in the role entity is empty"),
        ({"entity": {"role": {"name": "x"}}}, NO_ROLE),
        (
            {"entity": {"role": {"name": "r"}, "object": {"name": "x"}}},
            f"not found the object type[name: x], {TYPES}",
        ),
        (
            {"entity": {"role": {"name": "r"}, "object": {}}},
            f"not found the object type[name: ], {TYPES}",
        ),
    ],
)
async def test_what_select_grant_must_say(
    term: AccessTerm, fields: dict[str, Any], text: str
) -> None:
    assert await term.refused("SelectGrant", **fields) == (42, text)


async def test_policies_come_in_the_order_of_keys(world: AccessWorld, term: AccessTerm) -> None:
    await term.role("r-2")
    for asked in (
        grant_entity("r", object_name="b"),
        grant_entity("r-2", object_name="a"),
        grant_entity("r", "Global", "", "All"),
    ):
        await term.ok("OperatePrivilege", entity=asked)
    await world.write(
        **{
            "grantee-privileges/gone/Collection/c": b"0123456789abcdef",
            "grantee-id/0123456789abcdef/*": b"root",
            "grantee-privileges/bad/Collection": b"0123456789abcdef",
            "grantee-privileges/bad/Collection/a/b": b"0123456789abcdef",
        }
    )
    await term.mirror.reached(world.revision)
    assert list((await term.ok("ListPolicy")).policy_infos) == [
        '{"PType":"p","V0":"gone","V1":"Collection-default.c","V2":"*"}',
        '{"PType":"p","V0":"r-2","V1":"Collection-default.a","V2":"PrivilegeInsert"}',
        '{"PType":"p","V0":"r","V1":"Collection-default.b","V2":"PrivilegeInsert"}',
        '{"PType":"p","V0":"r","V1":"Global-default.*","V2":"PrivilegeAll"}',
    ]


async def grants(term: AccessTerm, role: str, **fields: Any) -> list[tuple[str, ...]]:
    """What SelectGrant finds: object type, object, database, privilege, grantor."""
    reply = await term.ok("SelectGrant", entity={"role": {"name": role}, **fields})
    assert all(each.role.name == role for each in reply.entities)
    return [
        (
            each.object.name,
            each.object_name,
            each.db_name,
            each.grantor.privilege.name,
            each.grantor.user.name,
        )
        for each in reply.entities
    ]
