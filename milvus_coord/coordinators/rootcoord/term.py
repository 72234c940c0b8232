"""One term of RootCoord: its parts, their order, their loops."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TimestampAllocator
from milvus_coord.coordinators.rootcoord import settings
from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.defaults import write_defaults
from milvus_coord.coordinators.rootcoord.access.rpcs import AccessRpcs
from milvus_coord.coordinators.rootcoord.access.work import Access
from milvus_coord.coordinators.rootcoord.allocators import work as loops
from milvus_coord.coordinators.rootcoord.allocators.catalog import BoundKeys
from milvus_coord.coordinators.rootcoord.allocators.rpcs import AllocatorRpcs
from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.collections.rpcs_aliases import AliasRpcs
from milvus_coord.coordinators.rootcoord.collections.rpcs_collections import CollectionRpcs
from milvus_coord.coordinators.rootcoord.collections.rpcs_databases import DatabaseRpcs
from milvus_coord.coordinators.rootcoord.collections.rpcs_partitions import PartitionRpcs
from milvus_coord.coordinators.rootcoord.imports.catalog import ImportCatalog
from milvus_coord.coordinators.rootcoord.imports.rpcs import ImportRpcs
from milvus_coord.coordinators.rootcoord.imports.store import ImportStore
from milvus_coord.coordinators.rootcoord.imports.work import Imports
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.defaults import write_default_database
from milvus_coord.coordinators.rootcoord.metadata.metadata import Metadata, MetaMirror
from milvus_coord.coordinators.rootcoord.metadata.snapshot_gc import SnapshotGc
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.metadata.time_travel import TimeTravel
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.outbound import Reach
from milvus_coord.coordinators.rootcoord.quota.work import QuotaCenter
from milvus_coord.coordinators.rootcoord.ticks.rpcs import TickRpcs
from milvus_coord.ha.election.term import Term
from milvus_coord.mq.queue import QueueError
from milvus_coord.role.rpcs.family import RpcFamily
from milvus_coord.role.rpcs.info import InfoRpcs
from milvus_coord.role.rpcs.system_info import Self, SystemInfo
from milvus_coord.role.shape import Surroundings
from milvus_coord.role.windows import FencedWindow
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.retry import Patience
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.telemetry import hardware
from milvus_coord.telemetry.log import log

_LAST_TICKS_S: Final = 1.0


class Leadership:
    """Made when the term begins; `run` it, then it is used up."""

    def __init__(
        self,
        around: Surroundings,
        term: Term,
        mirror: MetaMirror,
        catalog: Catalog,
        metrics: RootCoordMetrics,
    ) -> None:
        self._around, self._term, self._metrics = around, term, metrics
        self._mirror, self._catalog = mirror, catalog
        self._access_catalog = AccessCatalog(around.settings.etcd.meta_root)
        clock, fence = around.clock, term.fence
        bounds = BoundKeys(around.settings.etcd.kv_root)
        self._timestamp_window = FencedWindow(around.etcd, fence, bounds.timestamps)
        self._id_window = FencedWindow(around.etcd, fence, bounds.ids)
        self._timestamps = TimestampAllocator(self._timestamp_window, clock)
        self._ids = IdAllocator(self._id_window, clock)
        self._metadata = Metadata(mirror, fence, catalog)
        self._reach: Reach | None = None
        self._store = Store(self._metadata, catalog, self._timestamps, term.serve.require)

    async def run(self, serve: Callable[[Sequence[Service]], None]) -> None:
        """Recover, then lead until cancelled; see `Coordinator.work`."""
        reach = self._reach = Reach(self._around, self._term, self._timestamps, self._metrics)
        imports = self._imports(reach)
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(reach.proxies.run(), name="rootcoord.proxies")
                await self._recover(reach, imports)
                self._term.phases.end("recover")
                await self._wait_until_clear()
                self._term.phases.end("wait")
                await failpoint("before_serve")
                ddl = self._ddl(tasks, reach)
                ddl.adopt()
                serve(self._services(ddl, imports, reach))
                await self._term.settled.wait()
                _start_all(tasks, self._loops(ddl, imports, reach))
        finally:
            await reach.close()

    async def _recover(self, reach: Reach, imports: Imports) -> None:
        """Catch up with what former leaders wrote; write what every Milvus has. All fenced."""
        async with TaskGroup() as tasks:
            begin = {
                "timestamps": self._start(self._timestamp_window, self._timestamps),
                "ids": self._start(self._id_window, self._ids),
                "catch_up": self._mirror.catch_up(self._term.fence),
                "imports": imports.recover(),
                "sessions": reach.proxies.ready(),
            }
            _start_all(tasks, begin)
        await failpoint("after_catch_up")
        await self._metadata.modernize(await self._timestamps.take(1))
        await write_default_database(self._store, self._around.clock)
        await write_defaults(self._store, self._access_catalog)
        await failpoint("after_defaults")

    async def _wait_until_clear(self) -> None:
        """Return when the leader before us has certainly stopped."""
        wait_s = self._term.clear_at - self._around.clock.boottime()
        if wait_s > 0:
            log.info(
                "waiting until the leader before us has certainly stopped", wait_s=round(wait_s, 3)
            )
            await self._around.clock.sleep(wait_s)

    async def finish(self) -> None:
        """Return when the last time ticks are in the queue, or that hangs."""
        if self._reach is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_TICKS_S):
                    await self._reach.ticks.finish()

    def _ddl(self, tasks: asyncio.TaskGroup, reach: Reach) -> Ddl:
        return Ddl(
            tasks,
            metadata=self._metadata,
            catalog=self._catalog,
            timestamps=self._timestamps,
            ids=self._ids,
            ticks=reach.ticks,
            outside=reach.outside,
            limits=settings.ddl_limits(self._around.settings),
            clock=self._around.clock,
        )

    def _imports(self, reach: Reach) -> Imports:
        around, term = self._around, self._term
        wanted = settings.import_settings(around.settings)
        catalog = ImportCatalog(around.settings.etcd.kv_root, wanted.sub_path)
        return Imports(
            store=ImportStore(around.etcd, term.fence, catalog),
            datacoord=reach.datacoord,
            ids=self._ids,
            serve=term.serve,
            clock=around.clock,
            settings=wanted,
        )

    def _services(self, ddl: Ddl, imports: Imports, reach: Reach) -> tuple[Service, ...]:
        around, term, metadata = self._around, self._term, self._metadata
        lifecycle, serve, common = around.lifecycle, term.serve, around.settings.common
        history = TimeTravel(around.etcd, metadata, self._catalog)
        access = Access(
            self._store,
            self._access_catalog,
            ddl.statements,
            reach.proxies,
            settings.access_limits(around.settings),
        )
        min_segment_rows = around.settings.root_coord.min_segment_size_to_enable_index
        me = Self(term.server_id, around.address, min_segment_rows)
        info = SystemInfo(me, os.environ, around.clock, hardware.look)
        families: tuple[RpcFamily, ...] = (
            AllocatorRpcs(lifecycle, serve, self._timestamps, self._ids, self._metrics),
            CollectionRpcs(lifecycle, serve, metadata, ddl, history),
            PartitionRpcs(lifecycle, serve, metadata, ddl),
            AliasRpcs(lifecycle, serve, metadata, ddl),
            DatabaseRpcs(lifecycle, serve, metadata, ddl),
            AccessRpcs(lifecycle, access),
            ImportRpcs(lifecycle, serve, metadata, imports, common.default_partition_name),
            TickRpcs(
                lifecycle,
                reach.ticks,
                reach.proxies,
                time_tick_channel=common.channel("root_coord_time_tick"),
                statistics_channel=common.channel("root_coord_statistics"),
            ),
            InfoRpcs(lifecycle, reach.proxies, info, around.settings),
        )
        for family in families:
            family.observe = self._metrics.call
        return families

    def _loops(
        self, ddl: Ddl, imports: Imports, reach: Reach
    ) -> dict[str, Coroutine[Any, Any, None]]:
        around, term, clock = self._around, self._term, self._around.clock
        retention_s = around.settings.common.retention_duration_s
        quota = around.settings.quota_and_limits
        garbage = SnapshotGc(around.etcd, term.fence, clock, self._catalog, lambda: retention_s)
        started = {
            "allocators": self._allocate(),
            "ticks": reach.ticks.run(),
            "channels": self._prepare(reach, ddl.channels.pool),
            "imports": imports.run(),
            "snapshot_gc": garbage.run(),
            "counts": loops.counts(self._metadata, ddl.channels, self._metrics, clock),
        }
        if quota.enabled:
            center = QuotaCenter(
                rules=settings.quota_rules(quota),
                every_s=quota.quota_center_collect_interval_s,
                query_coord=reach.querycoord,
                data_coord=reach.datacoord,
                proxies=reach.proxies,
                serve=term.serve,
                clock=clock,
                show=self._metrics.quota_state,
            )
            started["quota"] = center.run()
        return started

    async def _prepare(self, reach: Reach, channels: Sequence[str]) -> None:
        """Make the topics that collections will use, so that their first message need not wait."""
        patience = Patience(self._around.clock, "prepare the channels", weather=(QueueError,))
        await patience.outlast(lambda: reach.queue.prepare(channels))

    async def _allocate(self) -> None:
        clock = self._around.clock
        await loops.allocator_ticks(self._timestamps, self._ids, self._metrics, clock)

    async def _start(
        self, window: FencedWindow, allocator: TimestampAllocator | IdAllocator
    ) -> None:
        """Begin above the bound that the leader before us has stored."""
        stored_ns = await window.load()
        await allocator.start(stored_ns)
        await failpoint("after_recover_bounds")
        log.debug("allocator starts above its stored bound", window=window, stored_ns=stored_ns)


def _start_all(tasks: asyncio.TaskGroup, work: Mapping[str, Coroutine[Any, Any, object]]) -> None:
    for name, coroutine in work.items():
        tasks.create_task(coroutine, name=f"rootcoord.{name}")
