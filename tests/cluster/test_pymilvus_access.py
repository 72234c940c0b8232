"""Users, roles and grants as pymilvus 2.2.17 manages them, and what the proxies make of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from testing.cluster import Cluster, pair_under_test
from testing.cluster_pymilvus import Pymilvus, PymilvusError, User
from testing.cluster_rows import FIELDS, INDEX, ids, rows

pytestmark = [
    pytest.mark.etcd,
    pytest.mark.go,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

PROXIES_KNOW_WITHIN_S = 5.0  # caches of proxies are refreshed after the answer


async def test_a_user_logs_in_with_the_password_that_holds_now(
    root: User, pymilvus: Pymilvus
) -> None:
    await root.create_user("ann", "first-password")
    ann = await pymilvus.login("ann", "first-password")
    assert "ann" in await root.list_users()
    with pytest.raises(PymilvusError, match="user already exists: ann"):
        await root.create_user("ann", "first-password")

    await ann.update_password("ann", "first-password", "second-password")
    assert "auth check failure" in await pymilvus.refusal("ann", "first-password")
    assert await pymilvus.refusal("ann", "second-password") == ""

    await root.delete_user("ann")
    assert "ann" not in await root.list_users()
    await until(lambda: pymilvus.refusal("ann", "second-password"))


async def test_roles_have_users(root: User) -> None:
    for user in ("bob", "eve"):
        await root.create_user(user, "password")
    for role in ("reader", "writer"):
        await root.create_role(role)
    await root.add_user_to_role("reader", "bob")
    await root.add_user_to_role("reader", "eve")
    await root.add_user_to_role("writer", "eve")
    assert await root.list_roles() == {
        "admin": [],
        "public": [],
        "reader": ["bob", "eve"],
        "writer": ["eve"],
    }
    assert await root.list_users() == {"bob": ["reader"], "eve": ["reader", "writer"], "root": []}

    with pytest.raises(PymilvusError, match="has existed"):
        await root.create_role("reader")
    with pytest.raises(PymilvusError, match="not found the role"):
        await root.add_user_to_role("nobody", "bob")
    with pytest.raises(PymilvusError, match="not found the user"):
        await root.add_user_to_role("reader", "nobody")

    await root.remove_user_from_role("reader", "bob")
    await root.delete_user("eve")
    assert await root.list_roles() == {"admin": [], "public": [], "reader": [], "writer": []}
    for role in ("reader", "writer"):
        await root.drop_role(role)
    await root.delete_user("bob")
    assert await root.list_users() == {"root": []}


async def test_a_grant_opens_a_collection_and_a_revocation_closes_it(
    root: User, pymilvus: Pymilvus
) -> None:
    for name in ("open", "shut"):
        await root.create_collection(name, FIELDS)
        await root.insert(name, rows(range(5)))
        await root.create_index(name, "vector", INDEX)
        await root.load(name)
    await root.create_user("kim", "password")
    await root.create_role("reader")
    await root.add_user_to_role("reader", "kim")
    kim = await pymilvus.login("kim", "password")
    with pytest.raises(PymilvusError, match="permission deny"):
        await kim.query("open", "id >= 0", [])

    await root.grant("reader", "Collection", "open", "Query")
    await until(lambda: allowed(kim.query("open", "id >= 0", [])))
    assert ids(await kim.query("open", "id >= 0", [])) == [*range(5)]
    with pytest.raises(PymilvusError, match="permission deny"):
        await kim.query("shut", "id >= 0", [])
    with pytest.raises(PymilvusError, match="permission deny"):
        await kim.insert("open", rows([9]))

    await root.grant("reader", "Global", "*", "CreateCollection")
    await until(lambda: allowed(kim.create_collection("made_by_kim", FIELDS)))
    assert await root.has_collection("made_by_kim")
    assert await root.list_grants("reader") == [
        ["Collection", "open", "Query", "root"],
        ["Global", "*", "CreateCollection", "root"],
    ]
    with pytest.raises(PymilvusError, match="Use REVOKE API to revoke privileges"):
        await root.drop_role("reader")
    with pytest.raises(PymilvusError, match="not found the privilege name"):
        await root.grant("reader", "Collection", "open", "Fly")

    await root.revoke("reader", "Collection", "open", "Query")
    await until(lambda: denied(kim.query("open", "id >= 0", [])))
    await root.revoke("reader", "Global", "*", "CreateCollection")
    assert await root.list_grants("reader") == []
    await root.drop_role("reader")
    await root.delete_user("kim")
    for name in ("open", "shut", "made_by_kim"):
        await root.drop_collection(name)


async def test_what_is_made_anew_has_no_grants_of_what_had_its_name(
    root: User, pymilvus: Pymilvus, milvus: Cluster
) -> None:
    if pair_under_test() != ("ours", "ours"):
        pytest.skip("Go's rootcoord keeps them")
    await root.create_collection("again", FIELDS)
    await root.create_user("leo", "password")
    await root.create_role("writer")
    await root.add_user_to_role("writer", "leo")
    leo = await pymilvus.login("leo", "password")
    await root.grant("writer", "Collection", "again", "Insert")
    await until(lambda: allowed(leo.insert("again", rows([1]))))

    await root.drop_collection("again")
    await root.create_collection("again", FIELDS)
    await until(lambda: denied(leo.insert("again", rows([2]))))
    assert await root.list_grants("writer") == []
    await milvus.take_over("SIGKILL")
    await until(lambda: denied(leo.insert("again", rows([3]))))
    assert (await root.describe("again"))["name"] == "again"

    await root.drop_collection("again")
    await root.drop_role("writer")
    await root.delete_user("leo")


async def denied(attempt: Awaitable[object]) -> bool:
    """Whether it is refused for want of a privilege."""
    try:
        await attempt
    except PymilvusError as refusal:
        if "permission deny" not in refusal.message:
            raise
        return True
    return False


async def allowed(attempt: Awaitable[object]) -> bool:
    return not await denied(attempt)


async def until(attempt: Callable[[], Awaitable[object]]) -> None:
    """Try again until the result is true."""
    deadline = time.monotonic() + PROXIES_KNOW_WITHIN_S
    while not await attempt():
        assert time.monotonic() < deadline, "the proxies do not learn of it"
        await asyncio.sleep(0.05)
