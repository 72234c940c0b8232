"""RootCoord: what it follows in etcd all the time, and what its terms are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from milvus_coord.coordinators.queue import queue_settings
from milvus_coord.coordinators.rootcoord.catalog import Catalog
from milvus_coord.coordinators.rootcoord.leadership import Leadership
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.service_access import AccessRpcs
from milvus_coord.coordinators.rootcoord.service_aliases import AliasRpcs
from milvus_coord.coordinators.rootcoord.service_allocators import AllocatorRpcs
from milvus_coord.coordinators.rootcoord.service_collections import CollectionRpcs
from milvus_coord.coordinators.rootcoord.service_databases import DatabaseRpcs
from milvus_coord.coordinators.rootcoord.service_family import RpcFamily
from milvus_coord.coordinators.rootcoord.service_import import ImportRpcs
from milvus_coord.coordinators.rootcoord.service_info import InfoRpcs
from milvus_coord.coordinators.rootcoord.service_partitions import PartitionRpcs
from milvus_coord.coordinators.rootcoord.service_ticks import TickRpcs
from milvus_coord.coordinators.rootcoord.service_waiting import WaitingRpcs
from milvus_coord.coordinators.rootcoord.work.metadata_image import MetaImage
from milvus_coord.coordinators.shape import Surroundings
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.ha.mirror import Mirror
from milvus_coord.ha.term import Term
from milvus_coord.mq.connect import load_client
from milvus_coord.rpc.edge import Service
from milvus_coord.runtime.patience import Patience
from milvus_coord.wire.codec import WireCodec
from milvus_coord.wire.rehearsal import rehearse

FAMILIES: Final[tuple[type[RpcFamily], ...]] = (
    AllocatorRpcs,
    CollectionRpcs,
    PartitionRpcs,
    AliasRpcs,
    DatabaseRpcs,
    AccessRpcs,
    ImportRpcs,
    TickRpcs,
    InfoRpcs,
)


class RootCoord:
    """Implements `coordinators.shape.Coordinator`. Raises QueueUnusable without its client."""

    def __init__(self, around: Surroundings) -> None:
        load_client(queue_settings(around.settings))
        self._around = around
        self._metrics = RootCoordMetrics(around.metrics)
        self._catalog = Catalog(around.settings.etcd.meta_root)
        self._mirror = Mirror(
            around.etcd, around.clock, self._catalog.prefix, MetaImage.maker(self._catalog)
        )
        self._leadership: Leadership | None = None

    @property
    def ready(self) -> bool:
        return self._mirror.synced

    @property
    def mirror(self) -> Mirror[MetaImage]:
        return self._mirror

    async def follow(self) -> None:
        patience = Patience(
            self._around.clock, "follow the metadata", weather=(EtcdError,), cap_s=5.0
        )
        await patience.outlast(self._mirror.run)

    def rehearse(self, codec: WireCodec) -> None:
        for family in FAMILIES:
            rehearse(family.__new__(family).__mapping__().values(), codec)

    def waiting(self) -> Sequence[Service]:
        common = self._around.settings.common
        return (
            WaitingRpcs(
                self._around.lifecycle,
                time_tick_channel=common.channel("root_coord_time_tick"),
                statistics_channel=common.channel("root_coord_statistics"),
            ),
        )

    async def work(self, term: Term, serve: Callable[[Sequence[Service]], None]) -> None:
        self._leadership = Leadership(
            self._around, term, self._mirror, self._catalog, self._metrics
        )
        await self._leadership.run(serve)

    async def finish(self) -> None:
        assert self._leadership is not None
        await self._leadership.finish()
