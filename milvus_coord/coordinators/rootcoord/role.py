"""RootCoord: what it follows in etcd all the time, and what its terms are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from milvus_coord.coordinators.rootcoord import rpcs
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.term import RootCoordTerm
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.mq.connect import load_client
from milvus_coord.role.rpcs.contract import Contract
from milvus_coord.role.shape import RoleContext
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.runtime.retry import Retry


class RootCoord:
    """Implements `coordinators.shape.Coordinator`. Raises QueueUnusable without its client."""

    def __init__(self, context: RoleContext) -> None:
        load_client(context.queue)
        self._context = context
        self._metrics = RootCoordMetrics(context.metrics)
        self._catalog = Catalog(context.settings.etcd.meta_root)
        self._mirror = Mirror(
            context.etcd, context.clock, self._catalog.prefix, MetaImage.maker(self._catalog)
        )
        self._current: RootCoordTerm | None = None

    @property
    def ready(self) -> bool:
        return self._mirror.synced

    @property
    def mirror(self) -> Mirror[MetaImage]:
        return self._mirror

    async def follow(self) -> None:
        retry = Retry(self._context.clock, "follow the metadata", on=(EtcdError,), cap_s=5.0)
        await retry.run(self._mirror.run)

    @property
    def contract(self) -> Contract:
        return rpcs.contract()

    def waiting(self) -> Sequence[Service]:
        return rpcs.waiting(self._context)

    async def work(self, term: Term, serve: Callable[[Sequence[Service]], None]) -> None:
        self._current = RootCoordTerm(
            self._context, term, self._mirror, self._catalog, self._metrics
        )
        await self._current.run(serve)

    async def finish(self) -> None:
        assert self._current is not None
        await self._current.finish()
