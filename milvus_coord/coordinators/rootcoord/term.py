"""One term of RootCoord: its parts and its loops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from milvus_coord.coordinators.rootcoord import rpcs, settings
from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.defaults import write_defaults
from milvus_coord.coordinators.rootcoord.access.object_grants import ObjectGrants
from milvus_coord.coordinators.rootcoord.access.work import Access
from milvus_coord.coordinators.rootcoord.allocators.work import Allocators
from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.imports.catalog import ImportCatalog
from milvus_coord.coordinators.rootcoord.imports.work import Imports
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.defaults import write_default_database
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.coordinators.rootcoord.metadata.snapshot_gc import SnapshotGc
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.metadata.time_travel import TimeTravel
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.outbound import Outbound
from milvus_coord.coordinators.rootcoord.quota.work import NoQuota, QuotaCenter
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.role.metadata.keyed import KeyedStore
from milvus_coord.role.shape import RoleContext
from milvus_coord.role.term import RoleTerm, Tasks
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.taskgroup import TaskGroup

_LAST_TICKS_S: Final = 1.0
_COUNTS_S: Final = 5.0


class RootCoordTerm(RoleTerm):
    """`ddl` is there when the term serves."""

    ddl: Ddl

    def __init__(
        self,
        context: RoleContext,
        term: Term,
        mirror: Mirror[MetaImage],
        catalog: Catalog,
        metrics: RootCoordMetrics,
    ) -> None:
        super().__init__(context, term, mirror)
        self.catalog, self.metrics = catalog, metrics
        self.access_catalog = AccessCatalog(context.settings.etcd.meta_root)
        self.allocators = Allocators(context, term.fence, metrics)
        timestamps = self.allocators.timestamps
        self.store = Store(mirror, term.fence, term.serve.require, catalog, timestamps)
        self.outbound = Outbound(context, term, timestamps, metrics)
        imports = settings.import_settings(context.settings)
        import_catalog = ImportCatalog(context.settings.etcd.kv_root, imports.sub_path)
        self.imports = Imports(
            store=KeyedStore(context.etcd, term.fence, import_catalog),
            datacoord=self.outbound.datacoord,
            ids=self.allocators.ids,
            serve=term.serve,
            clock=context.clock,
            settings=imports,
        )

    def watch(self) -> Tasks:
        return {"rootcoord.proxies": self.outbound.proxies.run()}

    def recover(self) -> Tasks:
        return {
            "rootcoord.timestamps": self.allocators.start_timestamps(),
            "rootcoord.ids": self.allocators.start_ids(),
            "rootcoord.sessions": self.outbound.proxies.ready(),
        }

    async def write_missing(self) -> None:
        await self.store.modernize()
        await write_default_database(self.store, self.context.clock)
        await write_defaults(self.store, self.access_catalog)

    def services(self, tasks: TaskGroup) -> Sequence[Service]:
        context, outbound, allocators = self.context, self.outbound, self.allocators
        ddl = self.ddl = Ddl(
            tasks,
            store=self.store,
            ids=allocators.ids,
            ticks=outbound.ticks,
            effects=outbound.effects,
            grants=ObjectGrants(self.store, self.access_catalog, outbound.proxies),
            limits=settings.ddl_limits(context.settings),
            clock=context.clock,
        )
        limits = settings.access_limits(context.settings)
        parts = rpcs.Parts(
            timestamps=allocators.timestamps,
            ids=allocators.ids,
            store=self.store,
            ddl=ddl,
            history=TimeTravel(context.etcd, self.store),
            access=Access(self.store, self.access_catalog, ddl.jobs, outbound.proxies, limits),
            imports=self.imports,
            ticks=outbound.ticks,
            proxies=outbound.proxies,
            metrics=self.metrics,
        )
        return rpcs.serving(context, self.term, parts)

    def work(self) -> Tasks:
        return {
            "rootcoord.ticks": self.outbound.ticks.run(),
            "rootcoord.imports": self.imports.recover(),
            "rootcoord.unfinished": self.ddl.resume_unfinished(),
            "rootcoord.channels": self.outbound.prepare(self.ddl.channels.pool),
        }

    def loops(self) -> Iterator[Loop]:
        context, outbound = self.context, self.outbound
        yield self.allocators.loop()
        yield from self.imports.loops()
        yield SnapshotGc(
            context.etcd,
            self.term.fence,
            context.clock,
            self.catalog,
            lambda: context.settings.common.retention_duration_s,
        ).loop()
        yield Loop("rootcoord.counts", _COUNTS_S, self._show_counts)
        quota = context.settings.quota_and_limits
        if quota.enabled:
            yield QuotaCenter(
                rules=settings.quota_rules(quota),
                every_s=quota.quota_center_collect_interval_s,
                query_coord=outbound.querycoord,
                data_coord=outbound.datacoord,
                proxies=outbound.proxies,
                serve=self.term.serve,
                clock=context.clock,
                show=self.metrics.quota_state,
            ).loop()
        else:
            yield NoQuota(
                every_s=quota.quota_center_collect_interval_s,
                proxies=outbound.proxies,
                serve=self.term.serve,
                clock=context.clock,
            ).loop()

    async def finish(self) -> None:
        """Return when the last time ticks are in the queue, or that hangs."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_TICKS_S):
                await self.outbound.ticks.finish()

    async def close(self) -> None:
        await self.outbound.close()

    async def _show_counts(self) -> None:
        channels = self.ddl.channels
        used, pool = len(channels.references), len(channels.pool)
        self.metrics.counts(self.store.state, channels=used, pool=pool)
