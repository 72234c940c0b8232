"""All RPCs of RootCoord: what answers while a term begins, and what answers during the term."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TimestampAllocator
from milvus_coord.coordinators.rootcoord.access.rpcs import AccessRpcs
from milvus_coord.coordinators.rootcoord.access.work import Access
from milvus_coord.coordinators.rootcoord.allocators.rpcs import AllocatorRpcs
from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.collections.rpcs import (
    AliasRpcs,
    CollectionRpcs,
    DatabaseRpcs,
    PartitionRpcs,
)
from milvus_coord.coordinators.rootcoord.imports.rpcs import ImportRpcs
from milvus_coord.coordinators.rootcoord.imports.work import Imports
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.metadata.time_travel import TimeTravel
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.proxies.work import Proxies
from milvus_coord.coordinators.rootcoord.ticks.rpcs import TickRpcs
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.ha.election.term import Term
from milvus_coord.pb.milvus.proto.rootcoord import RootCoordBase
from milvus_coord.role.rpcs.contract import Contract
from milvus_coord.role.rpcs.family import Answering
from milvus_coord.role.rpcs.info import ComponentRpcs, InfoRpcs
from milvus_coord.role.rpcs.system_info import Reporter, SystemInfo
from milvus_coord.role.rpcs.waiting import Refusals
from milvus_coord.role.shape import RoleContext
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.telemetry import hardware


@cache
def contract() -> Contract:
    """The 47 RPCs."""
    return Contract("rootcoord", RootCoordBase())


def waiting(context: RoleContext) -> tuple[Service, ...]:
    """While a term begins: how we are, and not ready to all else."""
    common, answering = context.settings.common, Answering(contract(), context.lifecycle)
    component = ComponentRpcs(
        answering,
        time_tick_channel=common.channel("root_coord_time_tick"),
        statistics_channel=common.channel("root_coord_statistics"),
    )
    return Refusals(answering), component


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a term that its RPCs use."""

    timestamps: TimestampAllocator
    ids: IdAllocator
    store: Store
    ddl: Ddl
    history: TimeTravel
    access: Access
    imports: Imports
    ticks: Ticks
    proxies: Proxies
    metrics: RootCoordMetrics


def serving(context: RoleContext, term: Term, parts: Parts) -> tuple[Service, ...]:
    """During a term; calls about metadata are counted."""
    settings, serve, store, ddl = context.settings, term.serve, parts.store, parts.ddl
    plain = Answering(contract(), context.lifecycle)
    counted = Answering(contract(), context.lifecycle, parts.metrics.call)
    shown = {
        "min_segment_size_to_enable_index": settings.root_coord.min_segment_size_to_enable_index
    }
    me = Reporter("rootcoord", term.server_id, context.address, shown)
    info = SystemInfo(me, os.environ, context.clock, hardware.look)
    return (
        ComponentRpcs(
            plain,
            time_tick_channel=settings.common.channel("root_coord_time_tick"),
            statistics_channel=settings.common.channel("root_coord_statistics"),
            problems=parts.proxies.health_problems,
        ),
        InfoRpcs(plain, info, settings),
        AllocatorRpcs(plain, serve, parts.timestamps, parts.ids, parts.metrics),
        CollectionRpcs(counted, store, ddl, parts.history),
        PartitionRpcs(counted, store, ddl),
        AliasRpcs(counted, store, ddl),
        DatabaseRpcs(counted, store, ddl),
        AccessRpcs(counted, parts.access),
        ImportRpcs(counted, store, parts.imports, settings.common.default_partition_name),
        TickRpcs(plain, parts.ticks, parts.proxies),
    )
