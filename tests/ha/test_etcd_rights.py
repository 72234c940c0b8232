"""An etcd with users: whoever may too little never registers, and is told what to grant."""

from __future__ import annotations

import asyncio

import pytest

from testing.cli import milvus
from testing.etcd import EtcdCluster, EtcdOptions
from tests.conftest import StartEtcd
from tests.ha.conftest import StartRole

ROOT = "--user=root:rootpw"
LOGIN = {
    "ETCD_AUTH_ENABLED": "true",
    "ETCD_AUTH_USERNAME": "coord",
    "ETCD_AUTH_PASSWORD": "coordpw",
}
META, KV = "by-dev/meta", "by-dev/kv"
GRANTS = (
    f"read --prefix=true {META}/config/",
    f"readwrite --prefix=true {META}/session/",
    f"readwrite --prefix=true {META}/ha/rootcoord/",
    f"read {META}/ha/rootcoord/ {META}/root-coord0",
    f"readwrite --prefix=true {META}/root-coord/",
    f"readwrite --prefix=true {META}/snapshots/root-coord/",
    f"readwrite --prefix=true {KV}/tso/",
    f"readwrite --prefix=true {KV}/gid/",
    f"readwrite --prefix=true {KV}/importtask/",
)
"""What docs/etcd.md says that a user needs."""


@pytest.fixture
async def guarded(start_etcd: StartEtcd) -> EtcdCluster:
    """An etcd whose user `coord` may do nothing yet."""
    etcd = await start_etcd(1, EtcdOptions(extra_args=("--bcrypt-cost=4",)))
    for command in (
        "user add root:rootpw",
        "user grant-role root root",
        "role add coord",
        "user add coord:coordpw",
        "user grant-role coord coord",
        "auth enable",
    ):
        await etcd.ctl(*command.split())
    return etcd


async def grant(etcd: EtcdCluster, grants: tuple[str, ...]) -> None:
    for each in grants:
        await etcd.ctl(ROOT, "role", "grant-permission", "coord", *each.split())


async def nothing_registered(etcd: EtcdCluster) -> bool:
    return not (await etcd.ctl(ROOT, "get", "--prefix", "by-dev/", "--keys-only")).strip()


@pytest.mark.parametrize(
    ("env", "advice"),
    [
        ({}, "set etcd.auth.enabled, etcd.auth.userName and etcd.auth.password"),
        ({**LOGIN, "ETCD_AUTH_ENABLED": "false"}, "ETCD_AUTH_ENABLED=true"),
        ({**LOGIN, "ETCD_AUTH_PASSWORD": "no"}, "check etcd.auth.userName and etcd.auth.password"),
    ],
)
async def test_without_a_login_it_ends_and_says_what_to_set(
    guarded: EtcdCluster, rootcoord: StartRole, env: dict[str, str], advice: str
) -> None:
    role = rootcoord(guarded.endpoints, env=env)
    role.start()
    assert await role.wait_exit() == 2
    assert role.lines(f"milvus: .*{advice}")
    assert await nothing_registered(guarded)
    said = await milvus("status", "rootcoord", etcd=guarded.endpoints, env=env)
    assert (said.code, advice in said.err) == (2, True)


async def test_too_few_rights_are_listed_and_those_are_enough(
    guarded: EtcdCluster, rootcoord: StartRole
) -> None:
    few = rootcoord(guarded.endpoints, env=LOGIN)
    few.start()
    assert await few.wait_exit() == 2
    (line,) = few.lines("milvus: etcd user coord lacks rights that rootcoord needs")
    for each in GRANTS:
        assert f"etcdctl role grant-permission ROLE {each}" in line
    await grant(guarded, GRANTS)
    enough = rootcoord(guarded.endpoints, env=LOGIN)
    enough.start()
    await enough.wait_active()
    assert not enough.lines("permission denied")


async def test_verbs_show_what_may_be_read(guarded: EtcdCluster, rootcoord: StartRole) -> None:
    await grant(guarded, GRANTS)
    role = rootcoord(guarded.endpoints, env=LOGIN)
    role.start()
    await role.wait_active()
    for verb, code, there in (("status", 4, "rootcoord  active"), ("history", 0, "first")):
        said = await milvus(verb, etcd=guarded.endpoints, env=LOGIN)
        assert (said.code, there in said.out) == (code, True), said.err
        left_out = "datacoord is left out, its keys may not be read: grant read --prefix=true"
        assert f"{left_out} {META}/ha/datacoord/" in said.err
    said = await milvus("doctor", etcd=guarded.endpoints, env=LOGIN)
    assert "leads at epoch" in said.out
    assert "etcd rights" not in said.out
    said = await milvus("status", "datacoord", etcd=guarded.endpoints, env=LOGIN)
    assert said.code == 2
    assert "grant read --prefix=true" in said.err


async def test_a_right_that_is_revoked_is_told_wherever_one_looks(
    guarded: EtcdCluster, rootcoord: StartRole
) -> None:
    await grant(guarded, GRANTS)
    role = rootcoord(guarded.endpoints, env=LOGIN)
    role.start()
    await role.wait_active()
    key = f"{KV}/tso/"
    await guarded.ctl(ROOT, "role", "revoke-permission", "coord", key, "--prefix=true")
    await role.wait_line(r"\[ERROR\].*cannot save the allocators' bounds for long", 30)
    said = await milvus("wait", "rootcoord", "--for", "active", etcd=guarded.endpoints, env=LOGIN)
    assert said.code == 0
    async with asyncio.timeout(20):
        while "leads, but cannot save the allocators' bounds" not in said.out:
            said = await milvus("status", "rootcoord", etcd=guarded.endpoints, env=LOGIN)
    said = await milvus("doctor", "rootcoord", etcd=guarded.endpoints, env=LOGIN)
    assert said.code == 3
    assert f"lacks: readwrite --prefix=true {key}" in said.out
    assert "leads, but cannot save the allocators' bounds" in said.out
    await grant(guarded, GRANTS)
    async with asyncio.timeout(20):
        while "leads, but" in said.out:
            said = await milvus("status", "rootcoord", etcd=guarded.endpoints, env=LOGIN)


async def test_rights_by_role_alone_leave_out_the_range_of_the_mirror(
    guarded: EtcdCluster, rootcoord: StartRole
) -> None:
    reads_only = f"read --prefix=true {META}/session/"
    await grant(guarded, (*GRANTS[:1], reads_only, GRANTS[2], *GRANTS[4:]))
    role = rootcoord(guarded.endpoints, env=LOGIN)
    role.start()
    assert await role.wait_exit() == 2
    (line,) = role.lines("milvus: etcd user coord lacks rights")
    lacking = line.partition("a role of that user: ")[2].split("; ")
    assert lacking == [f"etcdctl role grant-permission ROLE {GRANTS[n]}" for n in (1, 3)]
    assert await nothing_registered(guarded)
