"""Users: their records, their passwords at the proxies, who may have a name twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from milvus_coord.model.errors import CoordError
from testing.access import AccessTerm, AccessWorld, status_of
from testing.limits import ACCESS_LIMITS

HASH = "$2a$04$ycOF8hv1kRaed8tJay10q.KxUVPFXXMgfwTlr0qgL2tOiVh0m0xjO"


@pytest.fixture
def world() -> AccessWorld:
    return AccessWorld()


@pytest.fixture
async def term(world: AccessWorld) -> AsyncIterator[AccessTerm]:
    async with world.term() as term:
        yield term
        assert term.state.check() == []


async def test_a_user_is_written_as_go_writes_him(world: AccessWorld, term: AccessTerm) -> None:
    await term.ok(
        "CreateCredential", username="ann", encrypted_password=HASH, sha256_password="5ha"
    )
    assert world.room() == {"users/ann": b'{"encrypted_password":"%s"}' % HASH.encode()}
    assert term.proxies.told == [("update", "ann", "5ha")]
    reply = await term.ok("GetCredential", username="ann")
    assert (reply.username, reply.password) == ("ann", HASH)


async def test_a_user_without_a_password(world: AccessWorld, term: AccessTerm) -> None:
    await term.ok("CreateCredential", username="ann")
    assert world.room() == {"users/ann": b"{}"}
    assert (await term.ok("GetCredential", username="ann")).password == ""


async def test_a_name_is_given_once(term: AccessTerm) -> None:
    await term.user("ann", HASH)
    assert await term.refused("CreateCredential", username="ann") == (
        29,
        "CreateCredential failed: user already exists: ann",
    )
    assert (await term.ok("GetCredential", username="ann")).password == HASH


async def test_a_hundred_callers_make_one_user(world: AccessWorld, term: AccessTerm) -> None:
    calls = (term.call("CreateCredential", username="ann") for _ in range(100))
    found = [status_of(reply) for reply in await asyncio.gather(*calls)]
    assert found.count((0, "")) == 1
    assert found.count((29, "CreateCredential failed: user already exists: ann")) == 99


async def test_names_that_cannot_be(world: AccessWorld, term: AccessTerm) -> None:
    before = world.revision
    assert await term.refused("CreateCredential") == (
        29,
        "CreateCredential failed: username is empty",
    )
    assert await term.refused("UpdateCredential") == (
        30,
        "UpdateCredential failed: username is empty",
    )
    for name, reason in {
        "a/b": "the user name must not be a path: a/b",
        "..": "the user name must not be a path: ..",
        "  ": "the user name must not be blank",
        "a\n": "the user name must not have quotes, backslashes or control characters",
        "a\0b": "the user name must not have quotes, backslashes or control characters",
        "x" * 1_000_000: "the user name has 1000000 bytes, at most 4096 are allowed",
    }.items():
        for code, rpc in ((29, "CreateCredential"), (30, "UpdateCredential")):
            assert await term.refused(rpc, username=name) == (code, f"{rpc} failed: {reason}")
    assert (world.revision, term.proxies.told) == (before, [])


async def test_the_number_of_users_is_limited() -> None:
    async with AccessWorld(replace(ACCESS_LIMITS, max_users=2)).term() as term:
        await term.user("ann")
        await term.user("bob")
        limit = "unable to add user because the number of users has reached the limit"
        refused = (29, f"CreateCredential failed: {limit}")
        assert await term.refused("CreateCredential", username="cy") == refused
        assert await term.refused("CreateCredential", username="ann") == refused
        await term.ok("UpdateCredential", username="cy")
        assert list((await term.ok("ListCredUsers")).usernames) == ["ann", "bob", "cy"]


async def test_proxies_that_fail(term: AccessTerm) -> None:
    term.proxies.failure = CoordError("UpdateCredentialCache failed, proxyID = 5, err = gone")
    await term.user("ann")
    assert await term.refused("UpdateCredential", username="ann", encrypted_password="new") == (
        30,
        "UpdateCredential failed: UpdateCredentialCache failed, proxyID = 5, err = gone",
    )
    assert (await term.ok("GetCredential", username="ann")).password == "new"
    assert term.proxies.told[-1] == ("forget", "ann")


async def test_proxies_end_up_with_the_password_that_is_stored(term: AccessTerm) -> None:
    await term.user("ann")
    updates = (
        term.ok(
            "UpdateCredential",
            username="ann",
            encrypted_password=f"hash {n}",
            sha256_password=f"sha {n}",
        )
        for n in range(20)
    )
    await asyncio.gather(*updates)
    stored = (await term.ok("GetCredential", username="ann")).password
    assert term.proxies.told[-1] == ("update", "ann", stored.replace("hash", "sha"))


async def test_a_deleted_user_is_not_told_of_afterwards(term: AccessTerm) -> None:
    await term.user("ann")
    term.proxies.gate = asyncio.Event()
    update = asyncio.create_task(term.ok("UpdateCredential", username="ann", sha256_password="s"))
    await _until(lambda: term.jobs.running == 1)
    deletion = asyncio.create_task(term.ok("DeleteCredential", username="ann"))
    for _ in range(200):
        await asyncio.sleep(0)
    assert term.jobs.running == 2
    assert not term.proxies.told[1:]
    term.proxies.gate.set()
    await asyncio.gather(update, deletion)
    assert term.proxies.told[1:] == [("update", "ann", "s"), ("forget", "ann"), (5, "ann")]


async def test_a_user_goes_with_his_roles(world: AccessWorld, term: AccessTerm) -> None:
    await term.user("ann")
    await term.user("annabel")
    await term.role("r")
    for user in ("ann", "annabel"):
        await term.ok("OperateUserRole", username=user, role_name="r", type=0)
    await term.ok("DeleteCredential", username="ann")
    assert set(world.room()) == {
        "users/annabel",
        "roles/r",
        "user-role-mapping/annabel/r",
    }
    assert term.proxies.told[-2:] == [("forget", "ann"), (5, "ann")]


async def test_a_user_who_is_not_there_is_deleted(world: AccessWorld, term: AccessTerm) -> None:
    before = world.revision
    await term.ok("DeleteCredential", username="ann")
    assert world.revision == before
    assert term.proxies.told == [("forget", "ann"), (5, "ann")]
    assert await term.refused("DeleteCredential", username=" ") == (
        31,
        "fail to execute task when deleting the user",
    )


async def test_a_user_with_more_roles_than_fit_into_one_transaction(world: AccessWorld) -> None:
    for n in range(200):
        await world.write(**{f"roles/r{n}": b"", f"user-role-mapping/ann/r{n}": b""})
    await world.write(**{"users/ann": b"{}"})
    async with world.term() as term:
        await term.ok("DeleteCredential", username="ann")
        assert not [key for key in world.room() if "ann" in key]


async def test_unknown_and_damaged_records(world: AccessWorld, term: AccessTerm) -> None:
    assert await term.refused("GetCredential", username="ann") == (
        32,
        "GetCredential failed: there is no value on key = "
        "by-dev/meta/root-coord/credential/users/ann",
    )
    await world.write(**{"users/ann": b"{junk", "users/a/b": b'{"encrypted_password":"x"}'})
    await term.mirror.reached(world.revision)
    assert await term.refused("GetCredential", username="ann") == (
        32,
        "GetCredential failed: unmarshal credential info err:the record of ann is damaged",
    )
    assert list((await term.ok("ListCredUsers")).usernames) == ["a/b", "ann"]
    assert (await term.ok("GetCredential", username="a/b")).password == "x"
    await term.ok("UpdateCredential", username="ann", encrypted_password="y")
    assert (await term.ok("GetCredential", username="ann")).password == "y"
    await term.ok("DeleteCredential", username="a/b")
    assert set(world.room()) == {"users/ann"}


async def test_select_user(term: AccessTerm) -> None:
    for user in ("b", "ab", "a"):
        await term.user(user)
    for role in ("s", "r"):
        await term.role(role)
        await term.ok("OperateUserRole", username="ab", role_name=role, type=0)
    await term.ok("OperateUserRole", username="a", role_name="r", type=0)

    async def select(**fields: object) -> list[tuple[str, list[str]]]:
        reply = await term.ok("SelectUser", **fields)
        return [(each.user.name, [role.name for role in each.roles]) for each in reply.results]

    assert await select(include_role_info=True) == [("a", ["r"]), ("ab", ["r", "s"]), ("b", [])]
    assert await select() == [("a", []), ("ab", []), ("b", [])]
    # Go would add a role without a name here, for the mapping of ab.
    assert await select(user={"name": "a"}, include_role_info=True) == [("a", ["r"])]
    assert await select(user={"name": "x"}) == []
    for blank in ("", " \u3000"):
        assert await term.refused("SelectUser", user={"name": blank}) == (
            39,
            "fail to select the user to check the username",
        )


async def _until(there: Callable[[], bool]) -> None:
    for _ in range(1000):
        if there():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came about")
