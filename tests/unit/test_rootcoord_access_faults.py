"""Access control when etcd fails, the term ends, callers hang up, or nobody may be served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from milvus_coord.etcd.errors import EtcdError, NoSpace, Unavailable
from milvus_coord.model.errors import FencedOff, NotServing
from milvus_coord.model.states import Phase
from testing.access import LEASE_S, AccessTerm, AccessWorld, grant_entity, status_of

LOST = Unavailable("etcd txn: no answer", sent=True)
REFUSED = Unavailable("etcd txn: connection refused", sent=False)

WRITES: list[tuple[str, dict[str, Any], int, str]] = [
    ("CreateCredential", {"username": "new"}, 29, "CreateCredential failed: {}"),
    ("UpdateCredential", {"username": "ann"}, 30, "UpdateCredential failed: {}"),
    (
        "DeleteCredential",
        {"username": "ann"},
        31,
        "fail to execute task when deleting the user",
    ),
    ("CreateRole", {"entity": {"name": "new"}}, 35, "fail to create role, error: {}"),
    ("DropRole", {"role_name": "bare"}, 36, "fail to execute task when dropping the role"),
    (
        "OperateUserRole",
        {"username": "ann", "role_name": "r"},
        37,
        "fail to execute task when operate the user and role",
    ),
    (
        "OperateUserRole",
        {"username": "bob", "role_name": "r", "type": 1},
        37,
        "fail to execute task when operate the user and role",
    ),
    (
        "OperatePrivilege",
        {"entity": grant_entity(user="ann")},
        41,
        "fail to execute task when operating the privilege",
    ),
    (
        "OperatePrivilege",
        {"entity": grant_entity(user="ann", privilege="Search"), "type": 1},
        41,
        "fail to execute task when operating the privilege",
    ),
]
READS = ["ListCredUsers", "GetCredential", "SelectRole", "SelectUser", "SelectGrant", "ListPolicy"]


async def furnish(term: AccessTerm) -> None:
    for user in ("ann", "bob"):
        await term.user(user)
    for role in ("r", "bare"):
        await term.role(role)
    await term.ok("OperateUserRole", username="bob", role_name="r")
    await term.ok("OperatePrivilege", entity=grant_entity(user="ann", privilege="Search"))
    term.proxies.told.clear()


@pytest.mark.parametrize(("rpc", "fields", "code", "text"), WRITES)
async def test_etcd_that_refuses(rpc: str, fields: dict[str, Any], code: int, text: str) -> None:
    world = AccessWorld()
    async with world.term() as term:
        await furnish(term)
        stored = world.room()
        for trouble in (REFUSED, EtcdError("etcd txn: what?")):
            world.etcd.fail_next("txn", trouble)
            assert await term.refused(rpc, **fields) == (code, text.format(trouble))
        assert world.room() == stored
        told = {each for each in term.proxies.told if each not in ((7, ""), ("forget", "ann"))}
        assert told <= {("forget", "new")}, "proxies learn only what makes them ask"
        assert term.proxies.told
        await term.ok(rpc, **fields)
        assert world.room() != stored


@pytest.mark.parametrize(("rpc", "fields", "code", "text"), WRITES)
async def test_etcd_whose_answer_is_lost(
    rpc: str, fields: dict[str, Any], code: int, text: str
) -> None:
    world = AccessWorld()
    async with world.term() as term:
        await furnish(term)
        stored = world.room()
        for trouble in (LOST, NoSpace("etcd txn: no space")):
            world.etcd.fail_next("txn", trouble, applied=False)
            assert await term.refused(rpc, **fields) == (code, text.format(trouble))
            assert world.room() == stored
        world.etcd.fail_next("txn", LOST, applied=True)
        await term.ok(rpc, **fields)
        assert world.room() != stored


@pytest.mark.parametrize(("rpc", "fields", "code", "text"), WRITES)
async def test_a_deposed_leader_says_so(
    rpc: str, fields: dict[str, Any], code: int, text: str
) -> None:
    world = AccessWorld()
    async with world.term() as term:
        await furnish(term)
        stored = world.room()
        await world.deposed()
        with pytest.raises(FencedOff):
            await term.call(rpc, **fields)
        assert world.room() == stored


async def test_nobody_is_served_before_the_term_is_healthy() -> None:
    async with AccessWorld().term() as term:
        term.lifecycle.to(Phase.STEPPING_DOWN)
        assert len(term.methods) == 13
        for path in term.methods:
            reply = await term.call(path.rpartition("/")[2])
            assert status_of(reply) == (
                56,
                "role rootcoord[nodeID: -1] is not serving, reason: sate code: StandBy",
            )


async def test_nothing_is_refused_without_the_serve_lease() -> None:
    """A successor may have made the role; what is written is fenced by etcd."""
    world = AccessWorld()
    async with world.term() as term:
        world.clock.advance(LEASE_S)
        with pytest.raises(NotServing):
            await term.call("DropRole", role_name="r")


@pytest.mark.parametrize("rpc", READS)
async def test_nothing_is_read_without_the_serve_lease(rpc: str) -> None:
    world = AccessWorld()
    async with world.term() as term:
        await furnish(term)
        every: dict[str, dict[str, Any]] = {
            "GetCredential": {"username": "ann"},
            "SelectGrant": {"entity": {"role": {"name": "r"}}},
        }
        fields = every.get(rpc, {})
        await term.ok(rpc, **fields)
        world.clock.advance(LEASE_S)
        with pytest.raises(NotServing):
            await term.call(rpc, **fields)


async def test_a_caller_who_hangs_up_cancels_nothing() -> None:
    world = AccessWorld()
    async with world.term() as term:
        await furnish(term)
        call = asyncio.create_task(term.call("DropRole", role_name="bare"))
        while not term.jobs.running:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        while term.jobs.running:
            await asyncio.sleep(0)
        assert "roles/bare" not in world.room()
        assert term.proxies.told == [(6, "bare")]


async def test_passwords_are_never_logged(capfd: pytest.CaptureFixture[str]) -> None:
    world = AccessWorld()
    secrets = {"encrypted_password": "$2a$04$SECRET", "sha256_password": "SECRET"}
    async with world.term() as term:
        await term.ok("CreateCredential", username="ann", **secrets)
        await term.ok("UpdateCredential", username="ann", **secrets)
        for rpc in ("UpdateCredential", "CreateCredential"):
            world.etcd.fail_next("txn", LOST)
            await term.refused(rpc, username="cy", **secrets)
        term.proxies.failure = EtcdError("no")
        await term.ok("CreateCredential", username="bob", **secrets)
        assert "SECRET" not in repr(term.state.user("ann"))
        await term.ok("DeleteCredential", username="ann")
    logged = "".join(capfd.readouterr())
    assert "user created" in logged
    assert "SECRET" not in logged
