"""What one term talks to: the queue, the proxies, the other coordinators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from milvus_coord.allocator.timestamps import TimestampAllocator
from milvus_coord.clients.active_client import Caller
from milvus_coord.clients.datacoord import DataCoordClient
from milvus_coord.clients.indexcoord import IndexCoordClient
from milvus_coord.clients.querycoord import QueryCoordClient
from milvus_coord.coordinators.rootcoord.collections.effects import DdlEffects
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.proxies.work import Proxies
from milvus_coord.coordinators.rootcoord.ticks.message import time_tick
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.ha.election.term import Term
from milvus_coord.mq.connect import connect
from milvus_coord.mq.lazy import LazyQueue
from milvus_coord.mq.queue import QueueError
from milvus_coord.role.nodes.active import SessionResolver
from milvus_coord.role.shape import RoleContext
from milvus_coord.runtime.retry import Retry


class Outbound:
    """Nobody is connected to before the first call. Each effect asks for the serve lease itself."""

    def __init__(
        self,
        context: RoleContext,
        term: Term,
        timestamps: TimestampAllocator,
        metrics: RootCoordMetrics,
    ) -> None:
        settings, serve = context.settings, term.serve
        meta_root, cluster = settings.etcd.meta_root, settings.common.chan_name_prefix.cluster
        caller = Caller(cluster, term.server_id, permit=serve.require)
        whereabouts = partial(SessionResolver, context.etcd, meta_root)
        self._clock = context.clock
        assert context.queue is not None
        self.queue = LazyQueue(partial(connect, context.queue))
        self.datacoord = DataCoordClient(whereabouts("datacoord"), caller)
        self.querycoord = QueryCoordClient(whereabouts("querycoord"), caller)
        self.indexcoord = IndexCoordClient(whereabouts("indexcoord"), caller)
        self.ticks = Ticks(
            queue=self.queue,
            encode=partial(time_tick, source_id=term.server_id),
            timestamps=timestamps,
            serve=serve,
            clock=context.clock,
            interval_s=settings.proxy.time_tick_interval_ms / 1000,
            observer=metrics,
        )
        self.proxies = Proxies(
            etcd=context.etcd,
            clock=context.clock,
            serve=serve,
            meta_root=meta_root,
            server_id=term.server_id,
            cluster=cluster,
            on_change=self.ticks.proxies_changed,
            count_changed=metrics.proxies.set,
            predecessor_stopped_at=term.predecessor_stopped_at,
        )
        self.effects = DdlEffects(
            serve=serve,
            queue=self.queue,
            proxies=self.proxies,
            datacoord=self.datacoord,
            querycoord=self.querycoord,
            indexcoord=self.indexcoord,
            server_id=term.server_id,
        )

    async def prepare(self, channels: Sequence[str]) -> None:
        """Make the topics that collections will use, so that their first message need not wait."""
        retry = Retry(self._clock, "prepare the channels", on=(QueueError,))
        await retry.run(lambda: self.queue.prepare(channels))

    async def close(self) -> None:
        """Send nothing more to anybody."""
        for client in (self.datacoord, self.querycoord, self.indexcoord):
            client.close()
        await self.queue.close()
