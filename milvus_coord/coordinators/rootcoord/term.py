"""One term of RootCoord: its parts, their order, their loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TimestampAllocator
from milvus_coord.coordinators.rootcoord import rpcs, settings
from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.defaults import write_defaults
from milvus_coord.coordinators.rootcoord.access.work import Access
from milvus_coord.coordinators.rootcoord.allocators.catalog import BoundKeys
from milvus_coord.coordinators.rootcoord.allocators.work import allocator_loop
from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.imports.catalog import ImportCatalog
from milvus_coord.coordinators.rootcoord.imports.store import ImportStore
from milvus_coord.coordinators.rootcoord.imports.work import Imports
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.defaults import write_default_database
from milvus_coord.coordinators.rootcoord.metadata.metadata import Metadata, MetaMirror
from milvus_coord.coordinators.rootcoord.metadata.snapshot_gc import SnapshotGc
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.metadata.time_travel import TimeTravel
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.outbound import Outbound
from milvus_coord.coordinators.rootcoord.quota.work import QuotaCenter
from milvus_coord.ha.election.term import Term
from milvus_coord.mq.queue import QueueError
from milvus_coord.role.shape import RoleContext
from milvus_coord.role.tasks.loop import Loop, run_loops
from milvus_coord.role.windows import FencedWindow
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.retry import Retry
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.telemetry.log import log

_LAST_TICKS_S: Final = 1.0
_COUNTS_S: Final = 5.0


class RootCoordTerm:
    """Made when the term begins; `run` it, then it is used up."""

    def __init__(
        self,
        context: RoleContext,
        term: Term,
        mirror: MetaMirror,
        catalog: Catalog,
        metrics: RootCoordMetrics,
    ) -> None:
        self._context, self._term, self._metrics = context, term, metrics
        self._mirror, self._catalog = mirror, catalog
        self._access_catalog = AccessCatalog(context.settings.etcd.meta_root)
        clock, fence = context.clock, term.fence
        bounds = BoundKeys(context.settings.etcd.kv_root)
        self._timestamp_window = FencedWindow(context.etcd, fence, bounds.timestamps)
        self._id_window = FencedWindow(context.etcd, fence, bounds.ids)
        self._timestamps = TimestampAllocator(self._timestamp_window, clock)
        self._ids = IdAllocator(self._id_window, clock)
        self._metadata = Metadata(mirror, fence, catalog)
        self._outbound: Outbound | None = None
        self._store = Store(self._metadata, catalog, self._timestamps, term.serve.require)

    async def run(self, serve: Callable[[Sequence[Service]], None]) -> None:
        """Recover, then lead until cancelled; see `Coordinator.work`."""
        outbound = self._outbound = Outbound(
            self._context, self._term, self._timestamps, self._metrics
        )
        imports = self._imports(outbound)
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(outbound.proxies.run(), name="rootcoord.proxies")
                await self._recover(outbound, imports)
                self._term.phases.end("recover")
                await self._wait_until_clear()
                self._term.phases.end("wait")
                await failpoint("before_serve")
                ddl = self._ddl(tasks, outbound)
                ddl.resume_unfinished()
                serve(self._services(ddl, imports, outbound))
                await self._term.first_answers_done.wait()
                tasks.create_task(outbound.ticks.run(), name="rootcoord.ticks")
                prepare = self._prepare(outbound, ddl.channels.pool)
                tasks.create_task(prepare, name="rootcoord.channels")
                run_loops(tasks, self._loops(ddl, imports, outbound), self._context.clock)
        finally:
            await outbound.close()

    async def _recover(self, outbound: Outbound, imports: Imports) -> None:
        """Catch up with what former leaders wrote; write what every Milvus has. All fenced."""
        async with TaskGroup() as tasks:
            begin = {
                "timestamps": self._start(self._timestamp_window, self._timestamps),
                "ids": self._start(self._id_window, self._ids),
                "catch_up": self._mirror.catch_up(self._term.fence),
                "imports": imports.recover(),
                "sessions": outbound.proxies.ready(),
            }
            _start_all(tasks, begin)
        await failpoint("after_catch_up")
        await self._metadata.modernize(await self._timestamps.take(1))
        await write_default_database(self._store, self._context.clock)
        await write_defaults(self._store, self._access_catalog)
        await failpoint("after_defaults")

    async def _wait_until_clear(self) -> None:
        """Return when the leader before us has certainly stopped."""
        wait_s = self._term.predecessor_stopped_at - self._context.clock.boottime()
        if wait_s > 0:
            log.info(
                "waiting until the leader before us has certainly stopped", wait_s=round(wait_s, 3)
            )
            await self._context.clock.sleep(wait_s)

    async def finish(self) -> None:
        """Return when the last time ticks are in the queue, or that hangs."""
        if self._outbound is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_TICKS_S):
                    await self._outbound.ticks.finish()

    def _ddl(self, tasks: asyncio.TaskGroup, outbound: Outbound) -> Ddl:
        return Ddl(
            tasks,
            metadata=self._metadata,
            catalog=self._catalog,
            timestamps=self._timestamps,
            ids=self._ids,
            ticks=outbound.ticks,
            effects=outbound.effects,
            limits=settings.ddl_limits(self._context.settings),
            clock=self._context.clock,
        )

    def _imports(self, outbound: Outbound) -> Imports:
        context, term = self._context, self._term
        wanted = settings.import_settings(context.settings)
        catalog = ImportCatalog(context.settings.etcd.kv_root, wanted.sub_path)
        return Imports(
            store=ImportStore(context.etcd, term.fence, catalog),
            datacoord=outbound.datacoord,
            ids=self._ids,
            serve=term.serve,
            clock=context.clock,
            settings=wanted,
        )

    def _services(self, ddl: Ddl, imports: Imports, outbound: Outbound) -> tuple[Service, ...]:
        context, term, metadata = self._context, self._term, self._metadata
        access = Access(
            self._store,
            self._access_catalog,
            ddl.jobs,
            outbound.proxies,
            settings.access_limits(context.settings),
        )
        parts = rpcs.Parts(
            self._timestamps,
            self._ids,
            metadata,
            ddl,
            TimeTravel(context.etcd, metadata, self._catalog),
            access,
            imports,
            outbound.ticks,
            outbound.proxies,
            self._metrics,
        )
        return rpcs.serving(context, term, parts)

    def _loops(self, ddl: Ddl, imports: Imports, outbound: Outbound) -> Iterator[Loop]:
        context, term = self._context, self._term
        retention_s = context.settings.common.retention_duration_s
        quota, channels = context.settings.quota_and_limits, ddl.channels

        async def counts() -> None:
            """Show how much there is."""
            used, pool = len(channels.references), len(channels.pool)
            self._metrics.counts(self._metadata.state, channels=used, pool=pool)

        yield allocator_loop(self._timestamps, self._ids, self._metrics)
        yield from imports.loops()
        yield SnapshotGc(
            context.etcd, term.fence, context.clock, self._catalog, lambda: retention_s
        ).loop()
        yield Loop("rootcoord.counts", _COUNTS_S, counts)
        if quota.enabled:
            yield QuotaCenter(
                rules=settings.quota_rules(quota),
                every_s=quota.quota_center_collect_interval_s,
                query_coord=outbound.querycoord,
                data_coord=outbound.datacoord,
                proxies=outbound.proxies,
                serve=term.serve,
                clock=context.clock,
                show=self._metrics.quota_state,
            ).loop()

    async def _prepare(self, outbound: Outbound, channels: Sequence[str]) -> None:
        """Make the topics that collections will use, so that their first message need not wait."""
        retry = Retry(self._context.clock, "prepare the channels", on=(QueueError,))
        await retry.run(lambda: outbound.queue.prepare(channels))

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
