"""The loop that keeps the stored bounds of both allocators ahead of what they hand out."""

from __future__ import annotations

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TICK_S, TimestampAllocator
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.role.tasks.loop import Loop


def allocator_loop(
    timestamps: TimestampAllocator, ids: IdAllocator, metrics: RootCoordMetrics
) -> Loop:
    """Move both on; trouble in etcd is waited out, FencedOff ends the term."""

    async def turn() -> None:
        await timestamps.tick()
        await ids.tick()
        metrics.timestamp_saved.set(timestamps.saved_bound_ns // 1_000_000_000)

    return Loop(
        "rootcoord.allocators",
        TICK_S,
        turn,
        on=(EtcdError,),
        purpose="save the allocators' bounds",
        retry_first_s=TICK_S,
        retry_cap_s=1.0,
    )
