"""Every key that a pair reads is junk in turn, on a real pair and a real etcd.

No process ends by it. The pair serves, or says which key it cannot read until the key is mended.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Final

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.snapshot_reducer import read_role
from testing.cli import milvus
from testing.etcd import EtcdMember
from testing.hammer import Hammer
from testing.ours import OurRole
from testing.sightings import Method
from tests.ha.conftest import StartRole, started_pair
from tests.ha.test_takeover import answers

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(300)]

KEYS: Final = Keys("by-dev/meta", "rootcoord")
DIGITS: Final = b'{"ServerID":1,"nonce":"x","epoch":%s}' % (b"9" * 5000)
JUNK: Final = {"digits": DIGITS, "depth": b"[" * 100_000, "bytes": b"\xff" * 8}
ROOT_COORD: Final = b"by-dev/meta/root-coord/"
PASSED_OVER: Final = (
    KEYS.leadership,
    KEYS.paused,
    KEYS.switchover,
    KEYS.takeover(3),
    KEYS.history + b"\xff",
    KEYS.challenge(77),
    KEYS.answer(77),
    KEYS.status(77),
    KEYS.instance(77),
    KEYS.ha + b"mark",
    b"by-dev/meta/config/rootCoord.port",
    b"by-dev/meta/config/\xff",
    b"by-dev/kv/importtask/7",
    *(ROOT_COORD + rest for rest in (b"database/db-info/77", b"database/collection-info/1/77")),
    *(ROOT_COORD + rest for rest in (b"credential/users/ann", b"aliases/x", b"fields/7/1")),
    b"by-dev/meta/snapshots/root-coord/x_ts7",
)
"""Keys whose junk keeps nobody from leading; those of instance 77 are of one that is gone."""


class Junk:
    """Puts junk under keys, and takes it away again."""

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd
        self._before: dict[bytes, KeyValue | None] = {}

    async def put(self, key: bytes, value: bytes) -> None:
        found = self._before[key] = (await self._etcd.get(key)).kv
        await self._etcd.txn(Txn((), (put(key, value, found.lease if found else 0),)))

    async def mend(self) -> None:
        for key, kv in self._before.items():
            await self._etcd.txn(Txn((), (put(key, kv.value) if kv else delete(key),)))
        self._before.clear()


async def hand_over(active: OurRole, standby: OurRole) -> None:
    """The standby leads, and the former active is its standby."""
    active.terminate()
    assert await active.wait_exit() == 0
    await standby.wait_active()
    active.start()
    await active.wait_standby()


@pytest.mark.parametrize("kind", JUNK)
async def test_junk_that_keeps_nobody_from_leading(
    etcd: EtcdMember, rootcoord: StartRole, client: EtcdClient, tmp_path: Path, kind: str
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    junk = Junk(client)
    async with Hammer([active.address, standby.address], folder=tmp_path) as hammer:
        await answers(hammer, active)
        for key in PASSED_OVER:
            await junk.put(key, JUNK[kind])
        await of_those_who_live(client, junk, JUNK[kind])
        await hand_over(active, standby)
        await answers(hammer, standby)
        await junk.mend()
        await hand_over(standby, active)
        await answers(hammer, active)
        for method in (Method.ALLOC_TIMESTAMP, Method.ALLOC_ID):
            hammer.sightings().check_values(method, at_least=20)
    for one in (active, standby):
        assert not one.lines("Traceback|never retrieved")


async def of_those_who_live(client: EtcdClient, junk: Junk, value: bytes) -> None:
    """Junk under the keys that both instances write, on their own leases."""
    for one in (await read_role(client, KEYS)).instances:
        for key in (KEYS.status(one.server_id), KEYS.challenge(one.server_id)):
            await junk.put(key, value)


@pytest.mark.parametrize("kind", JUNK)
async def test_junk_in_the_counter_of_server_ids_is_told_until_it_is_mended(
    etcd: EtcdMember, rootcoord: StartRole, client: EtcdClient, kind: str
) -> None:
    junk, role = Junk(client), rootcoord(etcd.endpoints)
    await junk.put(KEYS.server_id, JUNK[kind])
    role.start()
    await role.wait_line("cannot take a server id.*by-dev/meta/session/id holds", 20)
    await junk.mend()
    await role.wait_active()


@pytest.mark.parametrize("key", ["by-dev/kv/tso/timestamp", "by-dev/kv/gid/idTimestamp"])
async def test_a_bound_of_all_ones_is_passed_over_as_go_does(
    etcd: EtcdMember, rootcoord: StartRole, client: EtcdClient, tmp_path: Path, key: str
) -> None:
    await Junk(client).put(key.encode(), b"\xff" * 8)
    role = rootcoord(etcd.endpoints)
    role.start()
    await role.wait_active()
    assert role.lines(rf"\[ERROR\].*stored bound is none that an allocator writes.*{key}")
    async with Hammer([role.address], folder=tmp_path) as hammer:
        await answers(hammer, role)


@pytest.mark.parametrize("key", ["by-dev/kv/tso/timestamp", "by-dev/kv/gid/idTimestamp"])
@pytest.mark.parametrize("value", [b"\x7f" + b"\xff" * 7, b"short"])
async def test_a_bound_from_which_nothing_can_be_handed_out_is_told_until_it_is_mended(
    etcd: EtcdMember, rootcoord: StartRole, client: EtcdClient, key: str, value: bytes
) -> None:
    junk, role = Junk(client), rootcoord(etcd.endpoints)
    await junk.put(key.encode(), value)
    role.start()
    await role.wait_line(r"start failed.*(no bound can be|a bound is 8 bytes)", 20)
    await junk.mend()
    await role.wait_active()


VERBS: Final = (
    ("status",),
    ("status", "-o", "json"),
    ("history", "rootcoord"),
    ("history", "rootcoord", "-o", "yaml"),
    ("doctor",),
    ("doctor", "-o", "json"),
    ("check", "mirror", "rootcoord"),
    ("pause", "rootcoord", "--reason", "junk"),
    ("resume", "rootcoord"),
    ("switchover", "rootcoord", "--dry-run"),
    ("wait", "rootcoord", "--for", "active", "--timeout", "5"),
    ("config", "show", "rootcoord"),
)
NAMES: Final = (b"9" * 5000, b"\xff", b"7\x1b[31m\n", b"\xd9\xa1", b"x" * 3000, b"y" * 300_000)


async def test_the_verbs_over_junk(
    etcd: EtcdMember, rootcoord: StartRole, client: EtcdClient
) -> None:
    """None shows a stack, whatever stands in etcd and however its keys are called."""
    pair = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    junk, values = Junk(client), itertools.cycle(JUNK.values())
    bounds = (b"by-dev/kv/tso/timestamp", b"by-dev/kv/gid/idTimestamp")
    prefixes = (KEYS.instances, KEYS.statuses, KEYS.challenges, KEYS.answers, KEYS.history)
    rooms = (*prefixes, KEYS.ha, ROOT_COORD + b"credential/users/", ROOT_COORD + b"fields/7/")
    named = [room + name for room in rooms for name in NAMES]
    for key in (*PASSED_OVER, *bounds, KEYS.server_id, *named):
        await junk.put(key, next(values))
    await of_those_who_live(client, junk, next(values))
    for words in VERBS:
        said = await milvus(*words, etcd=etcd.endpoints)
        assert "Traceback" not in said.out + said.err, words
        assert "\x1b" not in said.out + said.err, words
    for one in pair:
        one.check(one.running, "ended by junk")
        assert not one.lines("Traceback|never retrieved")
