"""The quota rules, and the reports that they look at."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.config.limits import QuotaAndLimits
from milvus_coord.coordinators.rootcoord.quota.rules import Levels, QuotaRules, decide
from milvus_coord.coordinators.rootcoord.quota.rules_rates import (
    READS,
    UNLIMITED,
    WRITES,
    CollectionQuota,
    DenyReason,
    QuotaState,
    RateType,
)
from milvus_coord.coordinators.rootcoord.quota.rules_readings import (
    BadReport,
    Binlogs,
    NodeReading,
    Readings,
    data_cluster,
    proxy_throughput,
    query_cluster,
)
from milvus_coord.coordinators.rootcoord.quota.work import set_rates
from milvus_coord.coordinators.rootcoord.settings import quota_rules
from milvus_coord.model.timestamps import compose
from milvus_coord.wire.descriptors import message_class

NOW_MS = 1_800_000_000_000
NOW = compose(NOW_MS, 0)
RULES = QuotaRules(rates=dict.fromkeys(RateType, 1000.0), floors=dict.fromkeys(RateType, 0.0))
QUERY = NodeReading(1, (7, 8), memory=100, memory_used=50, lag_behind=None)
DATA = NodeReading(2, (8, 9), memory=100, memory_used=50, lag_behind=None)
CALM = Readings((QUERY,), (DATA,), None, {})


def quotas(rules: QuotaRules, seen: Readings) -> dict[int, CollectionQuota]:
    return {quota.collection_id: quota for quota in decide(rules, seen, NOW)}


def denied(rules: QuotaRules, seen: Readings) -> dict[int, dict[QuotaState, DenyReason]]:
    return {id_: quota.states for id_, quota in quotas(rules, seen).items() if quota.states}


def insert_rate(rules: QuotaRules, seen: Readings, collection: int) -> float:
    return quotas(rules, seen)[collection].rates[RateType.DML_INSERT]


def test_in_calm_each_collection_has_the_rates_of_the_nodes_that_work_for_it() -> None:
    found = quotas(RULES, CALM)
    assert set(found) == {7, 8, 9}
    assert found[7].rates == dict.fromkeys(READS, 1000.0)
    assert found[9].rates == dict.fromkeys(WRITES, 1000.0)
    assert found[8].rates == dict.fromkeys((*WRITES, *READS), 1000.0)
    assert denied(RULES, CALM) == {}


def test_force_deny_writes() -> None:
    rules = replace(RULES, deny_writes=True)
    found = quotas(rules, CALM)
    assert found[9].rates == dict.fromkeys(WRITES, 0.0)
    assert found[8].states == {QuotaState.DENY_TO_WRITE: DenyReason.FORCE_DENY}
    assert found[7].states == {}


def test_force_deny_reads() -> None:
    found = quotas(replace(RULES, deny_reads=True), CALM)
    assert found[7].rates == dict.fromkeys(READS, 0.0)
    assert found[7].states == {QuotaState.DENY_TO_READ: DenyReason.FORCE_DENY}
    assert found[9].states == {}


def test_a_collection_over_its_disk_quota_is_denied_alone_and_all_over_the_total() -> None:
    rules = replace(RULES, disk_quota=100.0, disk_quota_per_collection=60.0)
    over = {QuotaState.DENY_TO_WRITE: DenyReason.DISK_QUOTA_EXHAUSTED}
    one = replace(CALM, binlogs=Binlogs(99, {9: 60, 8: 39}))
    assert denied(rules, one) == {9: over}
    every = replace(CALM, binlogs=Binlogs(100, {9: 50, 8: 50}))
    assert denied(rules, every) == {8: over, 9: over}
    assert denied(RULES, every) == {}


@pytest.mark.parametrize(
    ("lag_ms", "left"), [(0, 1000), (1000, 900), (5000, 500), (-3000, 1000), (9999, 0.1)]
)
def test_writing_slows_down_by_the_longest_lag(lag_ms: int, left: float) -> None:
    rules = replace(RULES, max_lag_ms=10_000.0)
    near = replace(QUERY, lag_behind=compose(NOW_MS, 0))
    far = replace(DATA, lag_behind=compose(NOW_MS - lag_ms, 0))
    seen = replace(CALM, query_nodes=(near,), data_nodes=(far,))
    assert insert_rate(rules, seen, 8) == pytest.approx(left)
    assert insert_rate(rules, seen, 9) == pytest.approx(left)


def test_too_long_a_lag_denies_writing() -> None:
    late = replace(DATA, lag_behind=compose(NOW_MS - 10_000, 0))
    rules = replace(RULES, max_lag_ms=10_000.0)
    why = {QuotaState.DENY_TO_WRITE: DenyReason.TIME_TICK_LONG_DELAY}
    assert denied(rules, replace(CALM, data_nodes=(late,))) == {8: why, 9: why}


@pytest.mark.parametrize(("used", "left"), [(80, 1000), (90, 500), (93, 200)])
def test_writing_slows_down_between_the_water_levels(used: int, left: float) -> None:
    rules = replace(RULES, data_node_memory=Levels(0.85, 0.95))
    seen = replace(CALM, data_nodes=(replace(DATA, memory_used=used),))
    assert insert_rate(rules, seen, 9) == pytest.approx(left)


def test_a_full_query_node_denies_writing_and_names_memory() -> None:
    rules = replace(RULES, query_node_memory=Levels(0.85, 0.95), max_lag_ms=10_000.0)
    full = replace(QUERY, memory_used=96, lag_behind=compose(NOW_MS - 9000, 0))
    why = {QuotaState.DENY_TO_WRITE: DenyReason.MEMORY_QUOTA_EXHAUSTED}
    assert denied(rules, replace(CALM, query_nodes=(full,)))[8] == why


def test_growing_segments_never_slow_below_their_floor() -> None:
    rules = replace(RULES, growing=Levels(0.2, 0.4), growing_floor=0.5)
    seen = replace(CALM, query_nodes=(replace(QUERY, growing=99),))
    assert insert_rate(rules, seen, 8) == pytest.approx(500)
    assert denied(rules, seen) == {}


def test_a_rate_without_limit_is_not_slowed_down_but_can_be_denied() -> None:
    rules = replace(
        RULES, rates=dict.fromkeys(RateType, UNLIMITED), data_node_memory=Levels(0.8, 0.9)
    )
    slow = replace(CALM, data_nodes=(replace(DATA, memory_used=85),))
    assert insert_rate(rules, slow, 9) == UNLIMITED
    full = replace(CALM, data_nodes=(replace(DATA, memory_used=95),))
    assert insert_rate(rules, full, 9) == 0


def test_slowing_down_keeps_the_configured_minimum() -> None:
    rules = replace(RULES, floors=dict.fromkeys(RateType, 300.0), data_node_memory=Levels(0.8, 0.9))
    seen = replace(CALM, data_nodes=(replace(DATA, memory_used=89),))
    assert insert_rate(rules, seen, 9) == 300


@pytest.mark.parametrize(
    "busy",
    [
        (replace(RULES, max_waiting=5), replace(QUERY, waiting=5)),
        (replace(RULES, max_waits_ms=10.0), replace(QUERY, waits_ns=10_000_000)),
    ],
)
def test_reads_of_a_busy_query_node_cool_off(busy: tuple[QuotaRules, NodeReading]) -> None:
    rules, node = busy
    seen = Readings((node,), (DATA,), None, {"DQLSearch": 200.0})
    rates = quotas(rules, seen)[7].rates
    assert rates[RateType.DQL_SEARCH] == pytest.approx(180)
    assert rates[RateType.DQL_QUERY] == 1000  # nobody queries


def test_results_that_take_the_network_cool_off_all_reads() -> None:
    rules = replace(RULES, max_result_rate=50.0, floors=dict.fromkeys(RateType, 195.0))
    seen = replace(CALM, throughput={"ReadResultThroughput": 50.0, "DQLSearch": 200.0})
    assert {quotas(rules, seen)[id_].rates[RateType.DQL_SEARCH] for id_ in (7, 8)} == {195.0}


nodes = st.builds(
    NodeReading,
    st.integers(1, 5),
    st.lists(st.integers(1, 6), max_size=4, unique=True).map(tuple),
    memory=st.integers(0, 100),
    memory_used=st.integers(0, 120),
    lag_behind=st.none() | st.integers(0, 30_000).map(lambda ms: compose(NOW_MS - ms, 0)),
    growing=st.integers(0, 120),
    waiting=st.integers(0, 20),
    waits_ns=st.integers(0, 10**8),
)
levels = st.tuples(st.floats(0.1, 0.5), st.floats(0.5, 1)).map(lambda pair: Levels(*pair))
rule_sets = st.builds(
    QuotaRules,
    rates=st.fixed_dictionaries({k: st.sampled_from((UNLIMITED, 0.0, 1000.0)) for k in RateType}),
    floors=st.fixed_dictionaries({kind: st.floats(0, 500) for kind in RateType}),
    max_lag_ms=st.none() | st.floats(1, 20_000),
    query_node_memory=levels,
    data_node_memory=levels,
    growing=levels,
    disk_quota=st.none() | st.floats(1, 1000),
    disk_quota_per_collection=st.none() | st.floats(1, 1000),
    max_waiting=st.none() | st.integers(0, 20),
    max_waits_ms=st.none() | st.floats(0, 100),
    max_result_rate=st.none() | st.floats(0, 100),
)
looks = st.builds(
    Readings,
    st.lists(nodes, max_size=3).map(tuple),
    st.lists(nodes, max_size=3).map(tuple),
    st.none()
    | st.builds(
        Binlogs, st.integers(0, 2000), st.dictionaries(st.integers(1, 9), st.integers(0, 2000))
    ),
    st.dictionaries(
        st.sampled_from(("DQLSearch", "DQLQuery", "ReadResultThroughput")), st.floats(0, 5000)
    ),
)


@given(rule_sets, looks)
def test_no_write_is_faster_than_its_rule_and_what_is_denied_is_zero(
    rules: QuotaRules, seen: Readings
) -> None:
    for quota in decide(rules, seen, NOW):
        for kind, rate in quota.rates.items():
            assert rate >= 0
            if kind in WRITES:
                assert rate <= rules.rates[kind]
        if QuotaState.DENY_TO_WRITE in quota.states:
            assert {quota.rates[kind] for kind in WRITES} == {0.0}


def test_the_defaults_limit_nothing_but_memory() -> None:
    rules = quota_rules(QuotaAndLimits())
    assert set(rules.rates.values()) == {UNLIMITED}
    assert (rules.max_lag_ms, rules.disk_quota, rules.max_waiting) == (None, None, None)
    assert rules.query_node_memory == Levels(0.85, 0.95)
    assert denied(rules, replace(CALM, data_nodes=(replace(DATA, memory_used=95),))).keys() == {
        8,
        9,
    }


def test_rates_of_the_configuration_are_megabytes_and_a_collection_inherits_that_of_all() -> None:
    section = QuotaAndLimits.model_validate(
        {
            "dml": {"enabled": "true", "insertRate": {"max": "8", "collection": {"min": "9"}}},
            "dql": {"enabled": "true", "searchRate": {"max": "8", "collection": {"max": "5"}}},
        }
    )
    rules = quota_rules(section)
    assert rules.rates[RateType.DML_INSERT] == 8 << 20
    assert rules.floors[RateType.DML_INSERT] == 0  # a minimum above the maximum is none
    assert rules.rates[RateType.DQL_SEARCH] == 5
    assert rules.rates[RateType.DML_DELETE] == UNLIMITED


def test_reports_are_read() -> None:
    hardware = {"memory": 100, "memory_usage": 60}
    flow = {"MinFlowGraphChannel": "c", "MinFlowGraphTt": 77, "NumFlowGraph": 1}
    queue = {"UnsolvedQueue": 1, "ReadyQueue": 2, "ReceiveChan": 3, "ExecuteChan": 4}
    metrics = {
        "Hms": hardware,
        "Rms": None,
        "Fgm": flow,
        "SearchQueue": {**queue, "AvgQueueDuration": 5},
        "QueryQueue": {"AvgQueueDuration": 9},
        "GrowingSegmentsSize": 12,
        "Effect": {"NodeID": 3, "CollectionIDs": [7, 8]},
    }
    nodes_of = {"connected_nodes": [{"id": 3, "quota_metrics": metrics}, {"id": 4}]}
    text = json.dumps({"cluster": nodes_of})
    seen = NodeReading(3, (7, 8), 100, 60, 77, growing=12, waiting=10, waits_ns=9)
    assert query_cluster(text) == (seen,)

    own = {"quota_metrics": {"TotalBinlogSize": 5, "CollectionBinlogSize": {"7": 5}}}
    text = json.dumps({"cluster": {"self": own, **nodes_of}})
    nodes_seen, binlogs = data_cluster(text)
    assert nodes_seen == (NodeReading(3, (7, 8), 100, 60, 77),)
    assert binlogs == Binlogs(5, {7: 5})

    rates = [{"Label": "DQLSearch", "Rate": 1.5}]
    assert proxy_throughput(json.dumps({"quota_metrics": {"Rms": rates}})) == {"DQLSearch": 1.5}
    assert proxy_throughput('{"quota_metrics":null}') == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "7", '{"cluster":{"connected_nodes":[7]}}', '{"cluster":7}']
)
def test_a_report_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadReport, match="metrics of querycoord cannot be read"):
        query_cluster(text)


def test_the_proxies_share_what_has_a_limit() -> None:
    quota = CollectionQuota(
        7,
        {RateType.DML_INSERT: 100.0, RateType.DQL_SEARCH: UNLIMITED},
        {QuotaState.DENY_TO_WRITE: DenyReason.DISK_QUOTA_EXHAUSTED},
    )
    request: Any = message_class("milvus.proto.proxy.SetRatesRequest").FromString(
        set_rates([quota], 4, NOW)
    )
    (one,) = request.rates
    assert one.collection == 7
    assert [(rate.rt, rate.r) for rate in one.rates] == [(5, 25.0), (8, UNLIMITED)]
    assert (list(one.states), list(one.codes)) == ([5], [54])
