"""What is there after every activation, to the byte as Go 2.2.16 writes it."""

from __future__ import annotations

import json

import bcrypt
import pytest

from milvus_coord.coordinators.rootcoord.access.work import AccessLimits
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.model.errors import CoordError, FencedOff
from testing.access import AccessWorld

WITHOUT_ROOT = {
    "grantee-id/250dd41b686083b0/PrivilegeDescribeCollection": b"root",
    "grantee-id/250dd41b686083b0/PrivilegeShowCollections": b"root",
    "grantee-id/e03326696e8a3b16/PrivilegeIndexDetail": b"root",
    "grantee-privileges/public/Collection/*.*": b"e03326696e8a3b16",
    "grantee-privileges/public/Global/*.*": b"250dd41b686083b0",
    "roles/admin": b"",
    "roles/public": b"",
}


async def test_a_new_cluster() -> None:
    world = AccessWorld()
    async with world.term() as term:
        before = world.revision
        await term.defaults()
        assert world.revision == before + 1
        stored = world.room()
        record = stored.pop("users/root")
        assert stored == WITHOUT_ROOT
        password_hash = json.loads(record)["encrypted_password"]
        assert record == b'{"encrypted_password":"%s"}' % password_hash.encode()
        assert password_hash.startswith("$2a$04$")
        assert len(password_hash) == 60
        assert bcrypt.checkpw(b"Milvus", password_hash.encode())
        await term.defaults()
        assert world.revision == before + 1
        assert list((await term.ok("ListPolicy")).policy_infos) == [
            '{"PType":"p","V0":"public","V1":"Collection-*.*","V2":"PrivilegeIndexDetail"}',
            '{"PType":"p","V0":"public","V1":"Global-*.*","V2":"PrivilegeDescribeCollection"}',
            '{"PType":"p","V0":"public","V1":"Global-*.*","V2":"PrivilegeShowCollections"}',
        ]


async def test_only_what_is_missing_is_written() -> None:
    world = AccessWorld()
    await world.write(
        **{
            "users/root": b'{"encrypted_password":"mine"}',
            "roles/admin": b"",
            "grantee-privileges/public/Global/*.*": b"0123456789abcdef",
            "grantee-id/0123456789abcdef/PrivilegeShowCollections": b"somebody",
        }
    )
    async with world.term() as term:
        await term.defaults()
        assert world.room() == {
            "users/root": b'{"encrypted_password":"mine"}',
            "roles/admin": b"",
            "roles/public": b"",
            "grantee-privileges/public/Global/*.*": b"0123456789abcdef",
            "grantee-id/0123456789abcdef/PrivilegeShowCollections": b"somebody",
            "grantee-id/0123456789abcdef/PrivilegeDescribeCollection": b"root",
            "grantee-privileges/public/Collection/*.*": b"e03326696e8a3b16",
            "grantee-id/e03326696e8a3b16/PrivilegeIndexDetail": b"root",
        }


async def test_a_damaged_root_does_not_get_the_default_password() -> None:
    world = AccessWorld()
    await world.write(**{"users/root": b"{junk"})
    async with world.term() as term:
        await term.defaults()
        assert world.room()["users/root"] == b"{junk"
        await term.ok("UpdateCredential", username="root", encrypted_password="new")
        assert (await term.ok("GetCredential", username="root")).password == "new"


async def test_the_limits_are_for_users() -> None:
    """Go 2.2.16 cannot start with ten roles: it asks for the limit before it looks at the name."""
    world = AccessWorld(AccessLimits(max_users=1, max_roles=10))
    await world.write(**{f"roles/r{n}": b"" for n in range(10)}, **{"users/ann": b"{}"})
    async with world.term() as term:
        await term.defaults()
        assert (term.state.role_count, term.state.user_count) == (12, 2)
        await term.defaults()


async def test_an_answer_that_is_lost() -> None:
    world = AccessWorld()
    async with world.term() as term:
        world.etcd.fail_next("txn", Unavailable("no answer", sent=True), applied=True)
        await term.defaults()
        assert {**WITHOUT_ROOT, "users/root": b""}.keys() == world.room().keys()


async def test_trouble_ends_the_activation() -> None:
    world = AccessWorld()
    async with world.term() as term:
        world.etcd.fail_next("txn", Unavailable("refused", sent=False))
        with pytest.raises(CoordError, match="refused"):
            await term.defaults()
        await world.deposed()
        with pytest.raises(FencedOff):
            await term.defaults()
        assert world.room() == {}
