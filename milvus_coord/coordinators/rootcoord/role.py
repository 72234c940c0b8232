"""RootCoord: its parts, their order, their loops."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TimestampAllocator
from milvus_coord.coordinators.rootcoord import loops
from milvus_coord.coordinators.rootcoord.catalog import BoundKeys, load, save
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.service import Channels, RootCoordService
from milvus_coord.coordinators.rootcoord.work.proxies import ProxyHealth
from milvus_coord.coordinators.shape import Surroundings
from milvus_coord.ha.fence import Fence
from milvus_coord.ha.term import Term
from milvus_coord.rpc.edge import Service
from milvus_coord.telemetry.log import log
from milvus_coord.wire.codec import WireCodec, rehearse


class RootCoord:
    """Hands out timestamps and ids."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._keys = BoundKeys(around.settings.etcd.kv_root)
        self._metrics = RootCoordMetrics(around.metrics)
        common = around.settings.common
        self._channels = Channels(
            time_tick=common.channel("root_coord_time_tick"),
            statistics=common.channel("root_coord_statistics"),
        )
        self._proxies = ProxyHealth(
            around.etcd, around.settings.etcd.meta_root, common.chan_name_prefix.cluster
        )

    def rehearse(self, codec: WireCodec) -> None:
        rehearse(RootCoordService.handlers(), codec)

    def services(self, term: Term) -> Sequence[Service]:
        clock = self._around.clock
        self._timestamps = TimestampAllocator(
            FencedWindow(term.fence, self._keys.timestamps), clock
        )
        self._ids = IdAllocator(FencedWindow(term.fence, self._keys.ids), clock)
        service = RootCoordService(
            lifecycle=self._around.lifecycle,
            serve=term.serve,
            timestamps=self._timestamps,
            ids=self._ids,
            channels=self._channels,
            proxies=self._proxies,
            metrics=self._metrics,
        )
        return (service,)

    async def recover(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        async with asyncio.TaskGroup() as starting:
            starting.create_task(
                self._start(self._keys.timestamps, self._timestamps), name="rootcoord.timestamps"
            )
            starting.create_task(self._start(self._keys.ids, self._ids), name="rootcoord.ids")
        ticks = loops.allocator_ticks(
            self._timestamps, self._ids, self._metrics, self._around.clock
        )
        tasks.create_task(ticks, name="rootcoord.allocators")

    async def _start(self, key: bytes, allocator: TimestampAllocator | IdAllocator) -> None:
        """Begin above the bound that the leader before us has stored."""
        stored_ns = load(key, (await self._around.etcd.get(key)).kv)
        await allocator.start(stored_ns)
        log.debug("allocator starts above its stored bound", key=key.decode(), stored_ns=stored_ns)


class FencedWindow:
    """Implements `allocator.window.Window` by guarded writes of one key."""

    def __init__(self, fence: Fence, key: bytes) -> None:
        self._fence, self._key = fence, key

    async def save(self, bound_ns: int) -> None:
        await self._fence.commit(save(self._key, bound_ns))
