"""How fast clients may write to and read from each collection, given the state of the nodes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from milvus_coord.coordinators.rootcoord.quota.rules_rates import (
    READS,
    UNLIMITED,
    WRITES,
    CollectionQuota,
    DenyReason,
    QuotaState,
    RateType,
)
from milvus_coord.coordinators.rootcoord.quota.rules_readings import NodeReading, Readings
from milvus_coord.model.timestamps import Timestamp, physical_ms


@dataclass(frozen=True, slots=True)
class Levels:
    """Below `low` nothing happens, above `high` the most; shares of a node's memory."""

    low: float
    high: float

    def factor(self, share: float) -> float:
        """What is left of the full rate at `share`: 1 is all of it, 0 nothing."""
        if share <= self.low:
            return 1.0
        return 0.0 if share >= self.high else (self.high - share) / (self.high - self.low)


NO_LEVELS: Final = Levels(math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class QuotaRules:
    """The rules in force; one that is switched off is None, a rate without limit UNLIMITED.

    Rates are bytes a second for writes, vectors or queries a second for reads.
    """

    rates: dict[RateType, float]
    floors: dict[RateType, float]
    deny_writes: bool = False
    max_lag_ms: float | None = None
    query_node_memory: Levels = NO_LEVELS
    data_node_memory: Levels = NO_LEVELS
    growing: Levels = NO_LEVELS
    growing_floor: float = 0.5
    disk_quota: float | None = None
    disk_quota_per_collection: float | None = None
    deny_reads: bool = False
    max_waiting: int | None = None
    max_waits_ms: float | None = None
    max_result_rate: float | None = None
    cool_off: float = 0.9


def decide(rules: QuotaRules, seen: Readings, now: Timestamp) -> list[CollectionQuota]:
    """The quota of each collection that a node works for, ordered by id."""
    readable, writable = seen.readable, seen.writable
    quotas = {id_: CollectionQuota(id_, {}, {}) for id_ in sorted(readable | writable)}
    for id_ in writable:
        quotas[id_].rates.update((kind, rules.rates[kind]) for kind in WRITES)
    for id_ in readable:
        quotas[id_].rates.update((kind, rules.rates[kind]) for kind in READS)
    _limit_writes(rules, seen, now, quotas)
    _limit_reads(rules, seen, quotas)
    return list(quotas.values())


def _limit_writes(
    rules: QuotaRules, seen: Readings, now: Timestamp, quotas: dict[int, CollectionQuota]
) -> None:
    if rules.deny_writes:
        _deny_writes(quotas, seen.writable, DenyReason.FORCE_DENY)
        return
    _deny_writes(quotas, _over_disk_quota(rules, seen), DenyReason.DISK_QUOTA_EXHAUSTED)
    by_lag = _lag_factors(rules, seen, now)
    by_memory = _memory_factors(rules, seen)
    for id_ in by_lag.keys() | by_memory.keys():
        lag, memory = by_lag.get(id_, 1.0), by_memory.get(id_, 1.0)
        factor = min(lag, memory)
        if factor <= 0:
            late = lag <= memory
            reason = DenyReason.TIME_TICK_LONG_DELAY if late else DenyReason.MEMORY_QUOTA_EXHAUSTED
            _deny_writes(quotas, (id_,), reason)
            continue
        rates = quotas[id_].rates
        for kind in (RateType.DML_INSERT, RateType.DML_DELETE):
            # Go 2.2.16 means to keep a configured minimum here but applies it to no collection.
            if rates.get(kind, UNLIMITED) != UNLIMITED:
                rates[kind] = max(rates[kind] * factor, min(rules.floors[kind], rates[kind]))


def _deny_writes(
    quotas: dict[int, CollectionQuota], collections: Iterable[int], reason: DenyReason
) -> None:
    for id_ in collections:
        quota = quotas.setdefault(id_, CollectionQuota(id_, {}, {}))
        quota.rates.update(dict.fromkeys(WRITES, 0.0))
        quota.states[QuotaState.DENY_TO_WRITE] = reason


def _over_disk_quota(rules: QuotaRules, seen: Readings) -> frozenset[int]:
    if seen.binlogs is None:
        return frozenset()
    if rules.disk_quota is not None and seen.binlogs.total >= rules.disk_quota:
        return seen.writable | frozenset(_large(rules, seen))
    return frozenset(_large(rules, seen))


def _large(rules: QuotaRules, seen: Readings) -> Iterable[int]:
    limit = rules.disk_quota_per_collection
    if limit is None or seen.binlogs is None:
        return ()
    return (id_ for id_, size in seen.binlogs.of_collection.items() if size >= limit)


def _lag_factors(rules: QuotaRules, seen: Readings, now: Timestamp) -> dict[int, float]:
    factors: dict[int, float] = {}
    if rules.max_lag_ms is None:
        return factors
    for node in (*seen.query_nodes, *seen.data_nodes):
        if node.lag_behind is not None:
            lag_ms = physical_ms(now) - physical_ms(Timestamp(node.lag_behind))
            _lower(factors, node, min(1.0, max(0.0, 1 - lag_ms / rules.max_lag_ms)))
    return factors


def _memory_factors(rules: QuotaRules, seen: Readings) -> dict[int, float]:
    factors: dict[int, float] = {}
    for node in seen.query_nodes:
        used = rules.query_node_memory.factor(_share(node, node.memory_used))
        growing = rules.growing.factor(_share(node, node.growing))
        _lower(factors, node, min(used, max(rules.growing_floor, growing)))
    for node in seen.data_nodes:
        _lower(factors, node, rules.data_node_memory.factor(_share(node, node.memory_used)))
    return factors


def _share(node: NodeReading, used: int) -> float:
    """A part of a node's memory; 0 for a node that does not say how much it has."""
    return used / node.memory if node.memory else 0.0


def _lower(factors: dict[int, float], node: NodeReading, factor: float) -> None:
    for id_ in node.collections:
        factors[id_] = min(factor, factors.get(id_, 1.0))


def _limit_reads(rules: QuotaRules, seen: Readings, quotas: dict[int, CollectionQuota]) -> None:
    if rules.deny_reads:
        for id_ in seen.readable:
            quotas[id_].rates.update(dict.fromkeys(READS, 0.0))
            quotas[id_].states[QuotaState.DENY_TO_READ] = DenyReason.FORCE_DENY
        return
    busy = _overloaded(rules, seen)
    for kind, label in ((RateType.DQL_SEARCH, "DQLSearch"), (RateType.DQL_QUERY, "DQLQuery")):
        real = seen.throughput.get(label, 0.0)
        for id_ in busy if real > 0 else ():
            rates = quotas[id_].rates
            if rates.get(kind, UNLIMITED) != UNLIMITED:
                rates[kind] = max(real * rules.cool_off, rules.floors[kind])


def _overloaded(rules: QuotaRules, seen: Readings) -> set[int]:
    """Collections of query nodes that have more to read than they can."""
    busy: set[int] = set()
    for node in seen.query_nodes:
        # Go 2.2.16 compares nanoseconds with the configured milliseconds.
        slow = rules.max_waits_ms is not None and node.waits_ns / 1e6 >= rules.max_waits_ms
        if slow or (rules.max_waiting is not None and node.waiting >= rules.max_waiting):
            busy.update(node.collections)
    results = seen.throughput.get("ReadResultThroughput", 0.0)
    if rules.max_result_rate is not None and results >= rules.max_result_rate:
        busy |= seen.readable
    return busy
