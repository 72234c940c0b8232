"""Access control asked of Go Milvus 2.2.16 and of ours: same answers, same bytes in etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from testing.access import AccessWorld, grant_entity, status_of
from testing.etcd import EtcdMember
from testing.go_milvus import GoMilvus, GoRole, Surroundings, Unavailable
from testing.grpc_wire import unary
from testing.kafka import KafkaBroker
from tests.contract.etcd_helpers import connected

pytestmark = [pytest.mark.etcd, pytest.mark.go]

OURS: Final = "ours/meta"
GO: Final = "by-dev/meta"
ROOM: Final = "root-coord/credential/"

Request = tuple[str, dict[str, Any]]


def user(name: str, secret: str = "$2a$04$x<&>") -> Request:
    return "CreateCredential", {"username": name, "encrypted_password": secret}


def role(name: str) -> Request:
    return "CreateRole", {"entity": {"name": name}}


def mapping(user: str, role: str, operation: int = 0) -> Request:
    return "OperateUserRole", {"username": user, "role_name": role, "type": operation}


def privilege(*names: str, operation: int = 0, **more: str) -> Request:
    return "OperatePrivilege", {"entity": grant_entity(*names, **more), "type": operation}


def grants(role: str, **more: Any) -> Request:
    return "SelectGrant", {"entity": {"role": {"name": role}, **more}}


def without(part: str) -> Request:
    entity = {name: each for name, each in grant_entity().items() if name != part}
    return "OperatePrivilege", {"entity": entity}


READINGS: Final[list[Request]] = [
    ("ListCredUsers", {}),
    ("SelectRole", {}),
    ("SelectRole", {"include_user_info": True}),
    ("SelectUser", {}),
    ("SelectUser", {"include_role_info": True}),
    ("ListPolicy", {}),
    grants("r"),
    grants("public"),
    grants("public", db_name="*"),
]

SCRIPT: Final[list[Request]] = [
    *READINGS,
    user(""),
    user("ann"),
    user("ann"),
    user("bob", ""),
    user("odd", 'a"b\\c\n\x01é\u2028'),
    ("UpdateCredential", {}),
    ("UpdateCredential", {"username": "cy", "encrypted_password": "new"}),
    ("GetCredential", {"username": "ann"}),
    ("GetCredential", {"username": "bob"}),
    ("GetCredential", {"username": "odd"}),
    ("GetCredential", {"username": "x"}),
    ("GetCredential", {}),
    role(""),
    role(" \u3000"),
    role("r"),
    role("r"),
    role("s-t"),
    role("admin"),
    mapping("ann", "r"),
    mapping("ann", "r"),
    mapping("ann", "s-t"),
    mapping("bob", "r"),
    mapping("x", "r"),
    mapping("ann", "x"),
    mapping("", "r"),
    mapping("", "r", 1),
    mapping("ann", ""),
    mapping("x", "r", 1),
    mapping("ann", "r", 9),
    mapping("x", "r", 9),
    privilege(),
    privilege(),
    privilege("r", "Collection", "c", "*"),
    privilege("r", "Collection", "*", "Search", db_name="other"),
    privilege("r", "Collection", "d", "Search", db_name="default", user="ann"),
    privilege("s-t", "Global", "ignored", "All"),
    privilege("s-t", "Global", "", "CreateCollection", db_name="*"),
    privilege("s-t", "User", "*", "UpdateUser"),
    privilege("x"),
    privilege(""),
    privilege(" "),
    privilege("r", "Collection", ""),
    privilege("r", "Collection", " "),
    privilege("r", "User"),
    privilege("r", "Collection", "c", ""),
    privilege("r", "Collection", "c", "PrivilegeInsert"),
    privilege(user="x"),
    privilege(user=""),
    privilege(operation=7),
    *(without(part) for part in ("role", "object", "grantor")),
    ("OperatePrivilege", {}),
    ("OperatePrivilege", {"entity": {}}),
    ("OperatePrivilege", {"entity": {**grant_entity(), "grantor": {}}}),
    ("OperatePrivilege", {"entity": {**grant_entity(), "grantor": {"user": {"name": "root"}}}}),
    *READINGS,
    grants("r", object={"name": "Collection"}, object_name="c"),
    grants("r", object={"name": "Collection"}, object_name="other.*"),
    grants("r", object={"name": "Collection"}, object_name="*", db_name="other"),
    grants("r", object={"name": "Collection"}, object_name="x"),
    grants("r", object={"name": "Collection"}),
    grants("r", object_name="c"),
    grants("r", db_name="x"),
    grants("s-t"),
    grants("s-t", db_name="*"),
    grants("x"),
    grants(""),
    ("SelectGrant", {}),
    ("SelectGrant", {"entity": {}}),
    ("SelectRole", {"role": {"name": "r"}, "include_user_info": True}),
    ("SelectRole", {"role": {"name": "x"}}),
    ("SelectRole", {"role": {}}),
    ("SelectRole", {"role": {"name": " "}}),
    ("SelectUser", {"user": {"name": "ann"}, "include_role_info": True}),
    ("SelectUser", {"user": {"name": "x"}}),
    ("SelectUser", {"user": {}}),
    ("DropRole", {"role_name": "r"}),
    ("DropRole", {"role_name": "x"}),
    ("DropRole", {}),
    privilege(operation=1),
    privilege(operation=1),
    privilege("r", "Collection", "never", operation=1),
    privilege("r", "Collection", "c", "*", operation=1),
    privilege("r", "Collection", "d", "Search", operation=1, db_name="default"),
    privilege("r", "Collection", "*", "Search", operation=1, db_name="other"),  # ours wants it
    ("DropRole", {"role_name": "r"}),
    mapping("ann", "s-t", 1),
    mapping("ann", "s-t", 1),
    ("DeleteCredential", {"username": "bob"}),
    ("DeleteCredential", {"username": "bob"}),
    ("DeleteCredential", {"username": "x"}),
    ("DeleteCredential", {}),
    *READINGS,
]


@pytest.fixture
async def go(etcd: EtcdMember, tmp_path: Path) -> AsyncIterator[GoRole]:
    try:
        milvus = GoMilvus.install()
    except Unavailable as reason:
        pytest.skip(str(reason))
    kafka = KafkaBroker(tmp_path / "kafka")
    rootcoord: GoRole | None = None
    try:
        around = Surroundings(etcd.endpoints, await kafka.serve(), tmp_path / "storage")
        rootcoord = GoRole(milvus, "rootcoord", around, folder=tmp_path / "go")
        rootcoord.start()
        await rootcoord.wait_active(within_s=40.0)
        yield rootcoord
    finally:
        if rootcoord is not None:
            rootcoord.kill()
        kafka.kill()


async def test_go_and_ours_say_and_write_the_same(etcd: EtcdMember, go: GoRole) -> None:
    async with connected(etcd.endpoints) as client:
        world = AccessWorld(link=client, meta_root=OURS)
        async with world.term() as term:
            await term.defaults()
            assert await stored(client, OURS) == await stored(client, GO)
            for rpc, fields in SCRIPT:
                theirs = await unary(go.address, f"rootcoord.RootCoord/{rpc}", **fields)
                mine = await term.call(rpc, **fields)
                assert str(mine).replace(OURS, GO) == str(theirs), f"{rpc} {fields}"
            assert await stored(client, OURS) == await stored(client, GO)
            assert term.state.check() == []


async def test_ours_reads_what_go_has_written(etcd: EtcdMember, go: GoRole) -> None:
    for rpc, fields in SCRIPT[: SCRIPT.index(("DropRole", {"role_name": "r"}))]:
        await unary(go.address, f"rootcoord.RootCoord/{rpc}", **fields)
    theirs = [await unary(go.address, f"rootcoord.RootCoord/{rpc}", **f) for rpc, f in READINGS]
    go.kill()
    async with (
        connected(etcd.endpoints) as client,
        AccessWorld(link=client, meta_root=GO).term() as term,
    ):
        before = await stored(client, GO)
        await term.defaults()
        assert await stored(client, GO) == before
        mine = [await term.call(rpc, **fields) for rpc, fields in READINGS]
    assert mine == theirs


async def test_a_hundred_callers_on_a_real_etcd(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client, AccessWorld(link=client).term() as term:
        calls = (term.call("CreateRole", entity={"name": "r"}) for _ in range(100))
        codes = [status_of(reply)[0] for reply in await asyncio.gather(*calls)]
        assert (codes.count(0), codes.count(35)) == (1, 99)
        async with AccessWorld(link=client).term() as successor:
            assert successor.state.roles() == term.state.roles() == ("r",)


async def stored(client: EtcdClient, meta_root: str) -> dict[str, bytes]:
    """All of the room; root's hash is salted and differs."""
    prefix = f"{meta_root}/{ROOM}"
    found = await client.range(prefix.encode())
    keys = {kv.key.decode().removeprefix(prefix): kv.value for kv in found.kvs}
    assert keys["users/root"].startswith(b'{"encrypted_password":"$2a$04$')
    return {**keys, "users/root": b"salted"}
