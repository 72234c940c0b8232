"""`quotaAndLimits.*`: how many collections there may be, and when writing and reading is slowed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from milvus_coord.config.fallback import Fallback, ReadWith, a_number, below, infinite
from milvus_coord.config.kinds import Flag, Real, Whole
from milvus_coord.config.section import Section

_SECTION = "quotaAndLimits"
_WRITING = f"{_SECTION}.limitWriting"
_READING = f"{_SECTION}.limitReading"

Rate = Annotated[float, Real(), Fallback(infinite)]
Share = Annotated[float, Real(above=0, high=1), Fallback(a_number)]
Seconds = Annotated[float, Real(above=0, high=65535, unit="s"), Fallback(a_number)]


class CollectionRate(Section):
    """Bounds of one collection's rate; a negative maximum is that of all collections."""

    max: Rate = -1.0
    min: Rate = 0.0


class RateBounds(Section):
    """Bounds of a rate; a negative maximum means no limit. MB/s where bytes are counted."""

    max: Rate = -1.0
    collection: CollectionRate = CollectionRate()


class Dml(Section):
    """`quotaAndLimits.dml.*`, MB/s."""

    enabled: Annotated[bool, Flag()] = False
    insert_rate: RateBounds = RateBounds()
    delete_rate: RateBounds = RateBounds()
    bulk_load_rate: RateBounds = RateBounds()


class Dql(Section):
    """`quotaAndLimits.dql.*`: vectors a second searched for, queries a second."""

    enabled: Annotated[bool, Flag()] = False
    search_rate: RateBounds = RateBounds()
    query_rate: RateBounds = RateBounds()


class Limits(Section):
    """`quotaAndLimits.limits.*`."""

    max_collection_num: Annotated[int, Whole(0)] = 65536
    max_collection_num_per_db: Annotated[int, Whole(0)] = Field(
        default=65536, alias="maxCollectionNumPerDB"
    )


class TtProtection(Section):
    """Slow writing down by how far nodes lag behind; deny it at `maxTimeTickDelay`."""

    # Go takes `true` where the key is not in the file; here it is the shipped value.
    enabled: Annotated[bool, Flag()] = False
    max_time_tick_delay_s: Seconds = Field(default=300.0, alias="maxTimeTickDelay")


class MemProtection(Section):
    """Slow writing down between the two levels of a node's memory; deny it above."""

    enabled: Annotated[bool, Flag()] = True
    data_node_memory_low_water_level: Share = 0.85
    data_node_memory_high_water_level: Share = 0.95
    query_node_memory_low_water_level: Share = 0.85
    query_node_memory_high_water_level: Share = 0.95


class GrowingSegmentsSizeProtection(Section):
    """Slow writing down by the share of growing segments in a query node's memory."""

    enabled: Annotated[bool, Flag()] = False
    min_rate_ratio: Share = 0.5
    low_water_level: Share = 0.2
    high_water_level: Share = 0.4


class DiskProtection(Section):
    """Deny writing above a size of all binlogs; negative means no limit."""

    enabled: Annotated[bool, Flag()] = True
    disk_quota_mb: Annotated[float, Real(unit="MB"), Fallback(infinite)] = Field(
        default=-1.0, alias="diskQuota"
    )
    disk_quota_per_collection_mb: Annotated[float, Real(unit="MB"), Fallback(infinite)] = Field(
        default=-1.0, alias="diskQuotaPerCollection"
    )


class LimitWriting(Section):
    """`quotaAndLimits.limitWriting.*`."""

    force_deny: Annotated[bool, Flag()] = False
    tt_protection: Annotated[TtProtection, ReadWith(f"{_WRITING}.ttProtection.enabled")] = (
        TtProtection()
    )
    mem_protection: Annotated[MemProtection, ReadWith(f"{_WRITING}.memProtection.enabled")] = (
        MemProtection()
    )
    growing_segments_size_protection: GrowingSegmentsSizeProtection = (
        GrowingSegmentsSizeProtection()
    )
    disk_protection: Annotated[DiskProtection, ReadWith(f"{_WRITING}.diskProtection.enabled")] = (
        DiskProtection()
    )


class QueueProtection(Section):
    """Slow reading down when a query node's queue is long or slow; negative means no limit."""

    enabled: Annotated[bool, Flag()] = False
    nq_in_queue_threshold: Annotated[int, Whole(-1), Fallback(below(-1))] = -1
    queue_latency_threshold_ms: Annotated[float, Real(unit="ms"), Fallback(infinite)] = Field(
        default=-1.0, alias="queueLatencyThreshold"
    )


class ResultProtection(Section):
    """Slow reading down when results take too much of the network; negative means no limit."""

    enabled: Annotated[bool, Flag()] = False
    max_read_result_rate_mb: Annotated[float, Real(unit="MB/s"), Fallback(infinite)] = Field(
        default=-1.0, alias="maxReadResultRate"
    )


class LimitReading(Section):
    """`quotaAndLimits.limitReading.*`."""

    force_deny: Annotated[bool, Flag()] = False
    queue_protection: Annotated[
        QueueProtection, ReadWith(f"{_READING}.queueProtection.enabled")
    ] = QueueProtection()
    result_protection: Annotated[
        ResultProtection, ReadWith(f"{_READING}.resultProtection.enabled")
    ] = ResultProtection()
    cool_off_speed: Share = 0.9


class QuotaAndLimits(Section):
    """`quotaAndLimits.*`."""

    # Go takes `false` where the key is not in the file; here it is the shipped value.
    enabled: Annotated[bool, Flag()] = True
    limits: Limits = Limits()
    quota_center_collect_interval_s: Seconds = Field(
        default=3.0, alias="quotaCenterCollectInterval"
    )
    dml: Annotated[Dml, ReadWith(f"{_SECTION}.dml.enabled")] = Dml()
    dql: Annotated[Dql, ReadWith(f"{_SECTION}.dql.enabled")] = Dql()
    limit_writing: LimitWriting = LimitWriting()
    limit_reading: LimitReading = LimitReading()
