"""From the configuration's sections to what RootCoord's parts take."""

from __future__ import annotations

from typing import Final, TypeVar

from milvus_coord.config import Settings
from milvus_coord.config.limits import Dml, Dql, LimitWriting, QuotaAndLimits, RateBounds
from milvus_coord.coordinators.rootcoord.access.work import AccessLimits
from milvus_coord.coordinators.rootcoord.collections.rules_limits import DdlLimits
from milvus_coord.coordinators.rootcoord.imports.rules import ImportSettings
from milvus_coord.coordinators.rootcoord.quota.rules import NO_LEVELS, Levels, QuotaRules
from milvus_coord.coordinators.rootcoord.quota.rules_rates import READS, UNLIMITED, WRITES, RateType

_MB: Final = 1 << 20

Number = TypeVar("Number", int, float)


def ddl_limits(settings: Settings) -> DdlLimits:
    """What DDL statements obey."""
    root, limits = settings.root_coord, settings.quota_and_limits.limits
    return DdlLimits(
        dml_prefix=settings.common.channel("root_coord_dml"),
        dml_channel_num=root.dml_channel_num,
        max_shard_num=settings.proxy.max_shard_num,
        max_collections=limits.max_collection_num,
        max_collections_per_db=limits.max_collection_num_per_db,
        max_databases=root.max_database_num,
        max_partitions=root.max_partition_num,
        default_partition_name=settings.common.default_partition_name,
        auto_index=settings.auto_index.enable,
    )


def access_limits(settings: Settings) -> AccessLimits:
    """How many users and roles there may be."""
    return AccessLimits(settings.proxy.max_user_num, settings.proxy.max_role_num)


def import_settings(settings: Settings) -> ImportSettings:
    """How long imports may take, and how many may wait."""
    root = settings.root_coord
    return ImportSettings(
        expiration_s=root.import_task_expiration_s,
        retention_s=root.import_task_retention_s,
        max_pending=root.import_max_pending_task_count,
        sub_path=root.import_task_sub_path,
    )


def quota_rules(section: QuotaAndLimits) -> QuotaRules:
    """The quota rules in force; a number that Milvus takes for "no limit" switches its rule off."""
    writing, reading = section.limit_writing, section.limit_reading
    queue, result = reading.queue_protection, reading.result_protection
    disk, lag = writing.disk_protection, writing.tt_protection
    used, growing = writing.mem_protection, writing.growing_segments_size_protection
    rates = _rates(section.dml, section.dql)
    return QuotaRules(
        rates={kind: top for kind, (top, _) in rates.items()},
        floors={kind: floor for kind, (_, floor) in rates.items()},
        deny_writes=writing.force_deny,
        max_lag_ms=lag.max_time_tick_delay_s * 1000 if lag.enabled else None,
        query_node_memory=_levels(
            used.enabled,
            used.query_node_memory_low_water_level,
            used.query_node_memory_high_water_level,
        ),
        data_node_memory=_levels(
            used.enabled,
            used.data_node_memory_low_water_level,
            used.data_node_memory_high_water_level,
        ),
        growing=_levels(growing.enabled, growing.low_water_level, growing.high_water_level),
        growing_floor=growing.min_rate_ratio,
        disk_quota=_disk(writing, disk.disk_quota_mb),
        # Go 2.2.16 takes the quota of all for that of one when the latter is not set.
        disk_quota_per_collection=_disk(writing, disk.disk_quota_per_collection_mb)
        or _disk(writing, disk.disk_quota_mb),
        deny_reads=reading.force_deny,
        max_waiting=_at_least_0(queue.enabled, queue.nq_in_queue_threshold),
        max_waits_ms=_at_least_0(queue.enabled, queue.queue_latency_threshold_ms),
        max_result_rate=_at_least_0(result.enabled, result.max_read_result_rate_mb * _MB),
        cool_off=reading.cool_off_speed,
    )


def _rates(dml: Dml, dql: Dql) -> dict[RateType, tuple[float, float]]:
    writes = (dml.insert_rate, dml.delete_rate, dml.bulk_load_rate)
    reads = (dql.search_rate, dql.query_rate)
    rates = {
        kind: _rate(bounds, _MB, enabled=dml.enabled)
        for kind, bounds in zip(WRITES, writes, strict=True)
    }
    rates.update(
        (kind, _rate(bounds, 1, enabled=dql.enabled))
        for kind, bounds in zip(READS, reads, strict=True)
    )
    return rates


def _rate(bounds: RateBounds, unit: float, *, enabled: bool) -> tuple[float, float]:
    """The highest and the lowest rate of one collection; a minimum above the maximum is none."""
    if not enabled:
        return UNLIMITED, 0.0
    top = bounds.collection.max if bounds.collection.max >= 0 else bounds.max
    floor = max(bounds.collection.min, 0.0)
    if top < 0:
        return UNLIMITED, floor * unit
    return top * unit, floor * unit if floor <= top else 0.0


def _levels(enabled: bool, low: float, high: float) -> Levels:
    return Levels(low, high) if enabled else NO_LEVELS


def _disk(writing: LimitWriting, quota_mb: float) -> float | None:
    enabled = writing.disk_protection.enabled and quota_mb > 0
    return quota_mb * _MB if enabled else None


def _at_least_0(enabled: bool, value: Number) -> Number | None:
    return value if enabled and value >= 0 else None
