"""The mirror against a real etcd, over a link that is cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.race import cancel_and_wait
from testing.etcd import EtcdMember
from testing.keys_image import KeysImage
from testing.link import Link
from tests.contract.etcd_helpers import SOON_S, connected, write

pytestmark = pytest.mark.etcd

PREFIX = b"meta/room/"
ACTIVE = b"meta/session/role"
MIRRORED = Mirrored((PREFIX,), b"meta/ha/role/", KeysImage)


@asynccontextmanager
async def mirrored(etcd: EtcdClient) -> AsyncIterator[Mirror[KeysImage]]:
    mirror = Mirror(etcd, SystemClock(), MIRRORED)
    task = asyncio.create_task(mirror.run(), name="mirror")
    try:
        yield mirror
    finally:
        await cancel_and_wait(task)


async def fill(etcd: EtcdClient, number: int, value: bytes = b"1") -> int:
    """Write `number` keys, a hundred at once; the last revision."""
    revision = 0
    for start in range(0, number, 100):
        keys = [PREFIX + b"%06d" % index for index in range(start, min(start + 100, number))]
        txn = Txn((), tuple(put(key, value) for key in keys))
        revision = (await etcd.txn(txn, timeout_s=SOON_S)).revision
    return revision


async def truth(etcd: EtcdClient) -> dict[bytes, bytes]:
    return {kv.key: kv.value for kv in (await etcd.range(PREFIX)).kvs}


async def test_it_follows_over_a_cut_link(etcd: EtcdMember) -> None:
    quick = EtcdSettings(etcd.endpoints, attempt_timeout_s=1.0)
    async with (
        connected(etcd.endpoints) as writer,
        Link(etcd.client_endpoint) as link,
        connected((link.endpoint,), quick) as reader,
        asyncio.timeout(SOON_S),
    ):
        await write(writer, PREFIX + b"a", b"1")
        async with mirrored(reader) as mirror:
            await mirror.reached(await write(writer, PREFIX + b"b", b"1"))
            link.cut()
            await write(writer, PREFIX + b"a", b"2")
            revision = (await writer.txn(Txn((), (delete(PREFIX + b"b"),)))).revision
            assert mirror.image == {PREFIX + b"a": b"1", PREFIX + b"b": b"1"}
            await link.heal()
            await mirror.reached(revision)
            assert mirror.image == await truth(writer) == {PREFIX + b"a": b"2"}


async def test_history_compacted_during_the_cut_is_read_anew(etcd: EtcdMember) -> None:
    quick = EtcdSettings(etcd.endpoints, attempt_timeout_s=1.0)
    async with (
        connected(etcd.endpoints) as writer,
        Link(etcd.client_endpoint) as link,
        connected((link.endpoint,), quick) as reader,
        asyncio.timeout(SOON_S),
    ):
        await fill(writer, 1000)
        async with mirrored(reader) as mirror:
            await mirror.reached(await write(writer, PREFIX + b"last", b"1"))
            old = mirror.image
            link.cut()
            await fill(writer, 500, b"2")
            revision = (await writer.txn(Txn((), (delete(PREFIX + b"000999"),)))).revision
            await etcd.ctl("compaction", str(revision))
            await link.heal()
            await mirror.reached(revision)
            assert mirror.image is not old
            assert old[PREFIX + b"000000"] == b"1", "the old image was touched"
            assert mirror.image == await truth(writer)
            await mirror.reached(await write(writer, PREFIX + b"000000", b"3"))
            assert mirror.image == await truth(writer)


async def test_it_outlives_a_restart_of_etcd(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client, mirrored(client) as mirror:
        async with asyncio.timeout(SOON_S):
            await mirror.reached(await write(client, PREFIX + b"a", b"1"))
            await etcd.restart()
            await mirror.reached(await write(client, PREFIX + b"a", b"2"))
        assert mirror.image == {PREFIX + b"a": b"2"}


async def test_catching_up_and_the_barrier(etcd: EtcdMember) -> None:
    async with connected(etcd.endpoints) as client, asyncio.timeout(SOON_S):
        lease = (await client.lease_grant(60)).id
        epoch = (await client.txn(Txn((), (put(ACTIVE, b"me", lease),)))).revision
        fence = Fence(client, ACTIVE, lease, epoch)
        async with mirrored(client) as mirror:
            await write(client, PREFIX + b"a", b"1")
            await mirror.catch_up(fence)
            assert mirror.image == {PREFIX + b"a": b"1"}
            barrier = mirror.barrier()
            await fence.commit(put(PREFIX + b"a", b"2"), when=(barrier,))
            await mirror.catch_up(fence)
            with pytest.raises(ConditionFailed):
                await fence.commit(put(PREFIX + b"a", b"3"), when=(barrier,))
            assert mirror.image == {PREFIX + b"a": b"2"}


async def test_several_prefixes_and_what_is_foreign_between_them(etcd: EtcdMember) -> None:
    prefixes = (b"meta/channelwatch", PREFIX, b"meta/tail/")
    mirrored_keys = [b"meta/channelwatch/8/ch", PREFIX + b"a", b"meta/tail/x"]
    foreign = [b"meta/field/1", b"meta/roomy", b"meta/ha/role/paused", b"meta/zone"]
    async with connected(etcd.endpoints) as client, asyncio.timeout(SOON_S):
        for key in (*mirrored_keys, *foreign):
            await write(client, key, b"1")
        mirror = Mirror(client, SystemClock(), Mirrored(prefixes, b"meta/ha/role/", KeysImage))
        task = asyncio.create_task(mirror.run(), name="mirror")
        with mirror.changes(b"meta/channelwatch") as changes:
            assert (await changes.take()).everything
            assert mirror.image == dict.fromkeys(mirrored_keys, b"1")
            for key in (*foreign, *mirrored_keys):
                await write(client, key, b"2")
            status = await write(client, b"meta/ha/role/instance-1", b"{}")
            await mirror.reached(status)
            assert mirror.lag(status) == 0
            assert mirror.image == dict.fromkeys(mirrored_keys, b"2")
            assert (await changes.take()).keys == {b"meta/channelwatch/8/ch"}
        await cancel_and_wait(task)


async def test_no_transaction_is_seen_in_halves(etcd: EtcdMember) -> None:
    """Pairs of keys are always equal, whenever one looks."""
    async with connected(etcd.endpoints) as client, mirrored(client) as mirror:
        unequal: list[str] = []
        looks = 0

        async def look() -> None:
            nonlocal looks
            while True:
                looks += 1
                left, right = (mirror.image.get(PREFIX + side) for side in (b"l", b"r"))
                if left != right:
                    unequal.append(f"{left!r} and {right!r}")
                await asyncio.sleep(0)

        reading = asyncio.create_task(look(), name="reading")
        revision = 0
        for number in range(200):
            value = b"%d" % number
            pair = (put(PREFIX + b"l", value), put(PREFIX + b"r", value))
            revision = (await client.txn(Txn((), pair))).revision
        async with asyncio.timeout(SOON_S):
            await mirror.reached(revision)
        await cancel_and_wait(reading)
        assert looks > 200
        assert not unequal


async def test_reading_many_keys_leaves_the_loop_free(etcd: EtcdMember) -> None:
    """Not a measurement: the bound is many times what the reading of one page takes."""
    async with connected(etcd.endpoints) as client:
        revision = await fill(client, 20_000, b"x" * 100)
        longest_s = 0.0

        async def pulse() -> None:
            nonlocal longest_s
            while True:
                before = time.monotonic()
                await asyncio.sleep(0)
                longest_s = max(longest_s, time.monotonic() - before)

        pulsing = asyncio.create_task(pulse(), name="pulse")
        async with mirrored(client) as mirror, asyncio.timeout(SOON_S):
            await mirror.reached(revision)
            assert len(mirror.image) == 20_000
        await cancel_and_wait(pulsing)
        assert longest_s < 0.5
