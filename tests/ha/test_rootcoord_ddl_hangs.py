"""Proxies and datacoord that hang or refuse: one statement suffers, all others and the ticks go on.

The rootcoord waits three seconds for an answer here, where it waits 25 s otherwise. It has two
channels, which every collection uses: a round of time ticks is one of those that hang, too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from milvus_coord.wire.status import fail
from testing.ddl_callers import calling, collection, partition
from testing.ddl_client import Outcome, Try
from testing.ddl_impatient import impatient
from testing.ddl_scene import PROXY_ID, Scene, scene
from testing.ddl_stored import Stored
from testing.etcd import EtcdMember
from testing.ours import OurRole
from testing.rpc import eventually
from tests.ha.conftest import StartRole

NAME = "hung"
INVALIDATE = "InvalidateCollectionMetaCache"
LAG_MAX_MS = 2_000
ROUNDS, STATEMENTS = 3, 10
_ROUNDS = re.compile(r"^milvus_rootcoord_sync_timetick_latency_count (\d+)", re.MULTILINE)
_LAG_MS = re.compile(r"^milvus_rootcoord_produce_tt_lag_ms\{.*\} (\S+)", re.MULTILINE)


async def started(make: StartRole, etcd: EtcdMember) -> OurRole:
    role = impatient(make(etcd.endpoints, env={"ROOT_COORD_DML_CHANNEL_NUM": "2"}))
    role.start()
    await role.wait_active()
    return role


class TickWatch:
    """The time ticks, as the metrics tell."""

    def __init__(self, role: OurRole) -> None:
        self._role = role

    async def go_on(self, until: Callable[[int], bool]) -> int:
        """How many more are out when `until` says so of their number; none of them lags behind."""
        began, _ = await self._read()
        async with asyncio.timeout(15):
            while True:
                count, lags_ms = await self._read()
                assert max(lags_ms, default=0) < LAG_MAX_MS, lags_ms
                if until(count - began):
                    return count - began
                await asyncio.sleep(0.02)

    async def _read(self) -> tuple[int, list[float]]:
        _, metrics = await self._role.http("/metrics")
        count = _ROUNDS.search(metrics)
        assert count, metrics
        return int(count[1]), [float(lag) for lag in _LAG_MS.findall(metrics)]


async def others_go_on(playing: Scene, role: OurRole, hung: asyncio.Task[Try]) -> Try:
    """What this one ends with; until then others are acknowledged, and time ticks go out."""
    async with calling(playing.client, stubborn=4) as callers:
        rounds = await TickWatch(role).go_on(lambda _: hung.done())
        statements = len(callers.done)
    assert rounds >= ROUNDS
    assert statements >= STATEMENTS
    assert callers.refusals == []
    assert callers.tries.keys() == {Outcome.OK}
    return await hung


def hang(playing: Scene, rpc: str, **fields: object) -> asyncio.Task[Try]:
    return asyncio.create_task(playing.client.attempt(rpc, try_s=20.0, **fields), name=rpc)


async def left_nothing(playing: Scene, role: OurRole, name: str = NAME) -> None:
    """Nobody sees the collection, and it can be made as if nothing had been."""
    stored = await Stored.clean(playing.etcd, dropping=False)
    assert name not in {one.schema.name for one in stored.collections.values()}
    shown = await playing.client.ask("ShowCollections")
    assert name not in shown.collection_names
    await playing.client.ask("CreateCollection", **collection(name))
    assert name in (await Stored.clean(playing.etcd)).visible()
    assert await TickWatch(role).go_on(lambda rounds: rounds >= ROUNDS)


@asynccontextmanager
async def proxy_hanging(playing: Scene) -> AsyncIterator[None]:
    """Calls that reach the proxy inside the block are never answered, those after it are."""
    proxy, answering = playing.proxy, playing.proxy.answering
    before = len(proxy.told(INVALIDATE))
    proxy.answering = asyncio.Event()
    yield
    await eventually(lambda: len(proxy.told(INVALIDATE)) > before, within_s=10)
    proxy.answering = answering


async def test_proxy_hangs_in_a_create(etcd: EtcdMember, rootcoord: StartRole) -> None:
    async with scene(etcd.endpoints) as playing:
        role = await started(rootcoord, etcd)
        async with proxy_hanging(playing):
            creating = hang(playing, "CreateCollection", **collection(NAME))
        refused = await others_go_on(playing, role, creating)
        assert refused.outcome is Outcome.REFUSED
        assert f"{INVALIDATE} failed, proxyID = {PROXY_ID}" in refused.detail
        assert "no answer within" in refused.detail
        await left_nothing(playing, role)


async def test_proxy_hangs_in_a_drop_and_another_in_a_new_partition(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    async with scene(etcd.endpoints) as playing:
        role = await started(rootcoord, etcd)
        for name in ("dropped", "parted"):
            await playing.client.ask("CreateCollection", **collection(name))
        hung = []
        for rpc, fields in (
            ("DropCollection", {"collection_name": "dropped"}),
            ("CreatePartition", partition("parted", "p")),
        ):
            async with proxy_hanging(playing):
                hung.append(hang(playing, rpc, **fields))
        await others_go_on(playing, role, hung[1])
        assert [(await one).outcome for one in hung] == [Outcome.REFUSED] * 2
        stored = await Stored.clean(playing.etcd, dropping=False)
        parted = stored.visible()["parted"]
        names = [one.partitionName for one in stored.partitions[parted.ID].values()]
        assert names == ["_default"]
        assert "dropped" in stored.visible()
        await playing.client.ask("DropCollection", collection_name="dropped")
        await playing.client.ask("CreatePartition", **partition("parted", "p"))
        assert "dropped" not in (await Stored.clean(playing.etcd, dropping=False)).visible()


async def test_datacoord_hangs(etcd: EtcdMember, rootcoord: StartRole) -> None:
    async with scene(etcd.endpoints) as playing:
        role = await started(rootcoord, etcd)
        holding = asyncio.create_task(playing.hold_watches(1), name="hold")
        await asyncio.sleep(0)
        creating = hang(playing, "CreateCollection", **collection(NAME))
        held = await holding
        refused = await others_go_on(playing, role, creating)
        assert refused.outcome is Outcome.REFUSED
        assert "datacoord WatchChannels" in refused.detail
        await role.wait_line(rf"collection rolled back.*{held.collection_ids[0]}")
        await left_nothing(playing, role)


async def test_datacoord_refuses(etcd: EtcdMember, rootcoord: StartRole) -> None:
    async with scene(etcd.endpoints) as playing:
        role = await started(rootcoord, etcd)
        playing.datacoord.refusals.append(fail(1, "no node is there"))
        refused = await playing.client.attempt("CreateCollection", **collection(NAME))
        assert refused.outcome is Outcome.REFUSED
        assert "no node is there" in refused.detail
        await role.wait_line(f"collection rolled back.*collection={NAME}")
        await left_nothing(playing, role)
