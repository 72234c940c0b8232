"""Time ticks and proxies together: who may stop the ticks, and who may not; with a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from milvus_coord.coordinators.rootcoord.proxies.work import Proxies
from milvus_coord.coordinators.rootcoord.ticks.message import time_tick
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.timestamps import Timestamp, compose
from milvus_coord.pb.milvus.proto import internal
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdMember
from testing.fake_proxies import CLUSTER, META_ROOT, FakeProxy, proxy_servers, register, unregister
from testing.rpc import eventually
from tests.contract.etcd_helpers import SOON_S, connected

pytestmark = pytest.mark.etcd

CHANNEL = "by-dev-rootcoord-dml_0"
OWN_ID = 3


class Counter:
    """Timestamps."""

    def __init__(self) -> None:
        self.last = compose(1_700_000_000_000, 0)

    async def take(self, count: int) -> Timestamp:
        self.last = Timestamp(self.last + count)
        return self.last


class Sent:
    """A queue that keeps what it gets; and an observer of nothing."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    async def send(self, channel: str, payload: bytes) -> bytes:
        assert channel == CHANNEL
        self.payloads.append(payload)
        return b""

    def sent(self, channel: str, lag_ms: int) -> None: ...

    def round_done(self, elapsed_ms: float) -> None: ...

    def unused(self, channel: str) -> None: ...


class Scene:
    """One term's ticks and proxies."""

    def __init__(self, etcd: EtcdClient) -> None:
        clock, self.timestamps, self.queue = SystemClock(), Counter(), Sent()
        serve = ServeLease(clock, 1e9, clock.boottime())
        self.ticks = Ticks(
            queue=self.queue,
            encode=lambda ts: time_tick(ts, OWN_ID),
            timestamps=self.timestamps,
            serve=serve,
            clock=clock,
            interval_s=0.01,
            observer=cast(Any, self.queue),
        )
        self.proxies = Proxies(
            etcd=etcd,
            clock=clock,
            serve=serve,
            meta_root=META_ROOT,
            cluster=CLUSTER,
            server_id=OWN_ID,
            on_change=self.ticks.proxies_changed,
            count_changed=lambda _: None,
        )
        self.ticks.use([CHANNEL])

    async def report(self, server: FakeProxy) -> Timestamp:
        promised = await self.timestamps.take(1)
        self.ticks.report(server.server_id, [], [], promised)
        return promised

    async def ticked(self, ts: Timestamp) -> None:
        await asyncio.wait_for(self.ticks.reached(CHANNEL, ts), SOON_S)


@asynccontextmanager
async def leading(etcd: EtcdClient) -> AsyncIterator[Scene]:
    scene = Scene(etcd)
    tasks = [
        asyncio.create_task(scene.ticks.run(), name="ticks"),
        asyncio.create_task(scene.proxies.run(), name="proxies"),
    ]
    try:
        await asyncio.wait_for(scene.proxies.ready(), SOON_S)
        yield scene
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_proxy_that_hangs_but_reports_stops_no_tick(etcd: EtcdMember) -> None:
    async with proxy_servers(5) as (server,), connected(etcd.endpoints) as client:
        await register(client, server)
        async with leading(client) as scene:
            server.answering.clear()
            forget = scene.proxies.invalidate_collection("", collection_id=1, ts=Timestamp(1))
            call = asyncio.create_task(forget, name="forget")
            await asyncio.wait_for(server.called.wait(), SOON_S)
            for _ in range(5):
                await scene.ticked(await scene.report(server))
            assert not call.done()
            server.answering.set()
            await asyncio.wait_for(call, SOON_S)


async def test_a_proxy_that_died_stops_the_ticks_until_its_session_ends(etcd: EtcdMember) -> None:
    """Its writes may still be on their way."""
    async with proxy_servers(5, 6) as (dying, well), connected(etcd.endpoints) as client:
        await register(client, dying)
        await register(client, well)
        async with leading(client) as scene:
            last_words = await scene.report(dying)
            await scene.report(well)
            await scene.ticked(last_words)
            await eventually(dying.called.is_set)
            await dying.die()
            beyond = await scene.report(well)
            await eventually(lambda: scene.timestamps.last > beyond + 5)  # rounds go by
            assert scene.ticks.produced(CHANNEL) == last_words
            await unregister(client, 5)
            await scene.ticked(beyond)


async def test_a_newcomer_blocks_until_its_first_report(etcd: EtcdMember) -> None:
    async with proxy_servers(5) as (server,), connected(etcd.endpoints) as client:
        async with leading(client) as scene:
            await scene.ticked(await scene.timestamps.take(1))
            await register(client, server)
            await eventually(lambda: scene.proxies.ids == (5,))
            sent, now = len(scene.queue.payloads), await scene.timestamps.take(1)
            await eventually(lambda: scene.timestamps.last > now + 5)  # rounds go by
            assert len(scene.queue.payloads) <= sent + 1
            await scene.ticked(await scene.report(server))
        ticks = [
            internal.TimeTickMsg.FromString(payload).base.timestamp
            for payload in scene.queue.payloads
        ]
        assert ticks == sorted(set(ticks))
