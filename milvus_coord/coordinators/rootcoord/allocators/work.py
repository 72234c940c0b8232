"""RootCoord's periodic drivers."""

from __future__ import annotations

from typing import Final

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TICK_S, TimestampAllocator
from milvus_coord.coordinators.rootcoord.collections.ddl_channels import DmlChannels
from milvus_coord.coordinators.rootcoord.metadata.metadata import Metadata
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry

COUNT_S: Final = 5.0


async def allocator_ticks(
    timestamps: TimestampAllocator, ids: IdAllocator, metrics: RootCoordMetrics, clock: Clock
) -> None:
    """Move both allocators on; trouble in etcd is waited out, FencedOff ends the term."""
    retry = Retry(clock, "save the allocators' bounds", on=(EtcdError,), first_s=TICK_S, cap_s=1.0)
    while True:
        try:
            await timestamps.tick()
            await ids.tick()
        except EtcdError as error:
            await retry.wait(error)
        else:
            retry.succeeded()
            metrics.timestamp_saved.set(timestamps.saved_bound_ns // 1_000_000_000)
        await clock.sleep(TICK_S)


async def counts(
    metadata: Metadata, channels: DmlChannels, metrics: RootCoordMetrics, clock: Clock
) -> None:
    """Show how much there is, every few seconds."""
    while True:
        metrics.counts(metadata.state, channels=len(channels.references), pool=len(channels.pool))
        await clock.sleep(COUNT_S)
