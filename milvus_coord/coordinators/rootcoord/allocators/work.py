"""The allocators of a term, and the loop that keeps their stored bounds ahead of them."""

from __future__ import annotations

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TICK_S, TimestampAllocator
from milvus_coord.coordinators.rootcoord.allocators.catalog import BoundKeys
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.ha.election.fence import Fence
from milvus_coord.role.shape import RoleContext
from milvus_coord.role.windows import FencedWindow
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.loop import Loop
from milvus_coord.telemetry.log import log


class Allocators:
    """Timestamps and ids; each begins above the bound that the leader before us has stored."""

    def __init__(self, context: RoleContext, fence: Fence, metrics: RootCoordMetrics) -> None:
        keys = BoundKeys(context.settings.etcd.kv_root)
        self._timestamp_window = FencedWindow(context.etcd, fence, keys.timestamps)
        self._id_window = FencedWindow(context.etcd, fence, keys.ids)
        self.timestamps = TimestampAllocator(self._timestamp_window, context.clock)
        self.ids = IdAllocator(self._id_window, context.clock)
        self._metrics = metrics

    async def start_timestamps(self) -> None:
        """Begin to hand out timestamps. Raises BadValue, EtcdError, FencedOff."""
        await _start(self._timestamp_window, self.timestamps)

    async def start_ids(self) -> None:
        """Begin to hand out ids. Raises the same."""
        await _start(self._id_window, self.ids)

    def loop(self) -> Loop:
        """Move both on; trouble in etcd is waited out, FencedOff ends the term."""
        return Loop(
            "rootcoord.allocators",
            TICK_S,
            self._tick,
            on=(EtcdError,),
            purpose="save the allocators' bounds",
            retry_first_s=TICK_S,
            retry_cap_s=1.0,
        )

    async def _tick(self) -> None:
        await self.timestamps.tick()
        await self.ids.tick()
        self._metrics.timestamp_saved.set(self.timestamps.saved_bound_ns // 1_000_000_000)


async def _start(window: FencedWindow, allocator: TimestampAllocator | IdAllocator) -> None:
    stored_ns = await window.load()
    await allocator.start(stored_ns)
    await failpoint("after_recover_bounds")
    log.debug("allocator starts above its stored bound", window=window, stored_ns=stored_ns)
