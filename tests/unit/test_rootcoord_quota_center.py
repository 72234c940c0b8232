"""The quota center's turns: what the proxies are told, and what is said of trouble."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from milvus_coord.config.limits import QuotaAndLimits
from milvus_coord.coordinators.rootcoord.quota.rules_rates import DenyReason
from milvus_coord.coordinators.rootcoord.quota.work import SYSTEM_INFO, NoQuota, QuotaCenter
from milvus_coord.coordinators.rootcoord.settings import quota_rules
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.wire.codec import Encoded
from milvus_coord.wire.descriptors import message_class
from testing.log_lines import log_lines


def data_node(memory_used: int) -> str:
    metrics = {
        "Hms": {"memory": 100, "memory_usage": memory_used},
        "Fgm": {"MinFlowGraphChannel": "", "MinFlowGraphTt": 0, "NumFlowGraph": 0},
        "Effect": {"NodeID": 3, "CollectionIDs": [7]},
    }
    own = {"quota_metrics": {"TotalBinlogSize": 0, "CollectionBinlogSize": {}}}
    return json.dumps(
        {"cluster": {"self": own, "connected_nodes": [{"id": 3, "quota_metrics": metrics}]}}
    )


class Cluster:
    """Both coordinators and one proxy."""

    def __init__(self, report: str) -> None:
        self.report, self.trouble = report, CoordError("nobody answers")
        self.away = False
        self.told: list[Any] = []
        self.count = 1

    async def metrics(self, request_json: str) -> str:
        assert request_json == SYSTEM_INFO
        if self.away:
            raise self.trouble
        return self.report

    async def set_rates(self, request: Encoded) -> None:
        if self.away:
            raise self.trouble
        self.told.append(message_class("milvus.proto.proxy.SetRatesRequest").FromString(request))


class Proxies:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self.count, self.set_rates = cluster, 1, cluster.set_rates
        self.ids: tuple[int, ...] = ()

    async def metrics(self, request_json: str) -> list[str]:
        return [json.dumps({"quota_metrics": None})]


def center(cluster: Cluster) -> tuple[QuotaCenter, dict[DenyReason, bool]]:
    clock, shown = ManualClock(), dict[DenyReason, bool]()
    quiet = Cluster(json.dumps({"cluster": {"connected_nodes": []}}))
    made = QuotaCenter(
        rules=quota_rules(QuotaAndLimits()),
        every_s=3.0,
        query_coord=cast(Any, quiet),
        data_coord=cast(Any, cluster),
        proxies=cast(Any, Proxies(cluster)),
        serve=ServeLease(clock, 10.0, clock.boottime()),
        clock=clock,
        show=shown.__setitem__,
    )
    return made, shown


async def test_a_full_node_denies_writes_until_it_has_room_again() -> None:
    cluster = Cluster(data_node(99))
    quota, shown = center(cluster)
    with log_lines() as lines:
        await quota.turn()
        await quota.turn()
        assert shown[DenyReason.MEMORY_QUOTA_EXHAUSTED]
        cluster.report = data_node(10)
        await quota.turn()
    assert not any(shown.values())
    assert [line.message for line in lines] == ["quota denies access", "quota gives access back"]
    assert [bool(request.rates[0].states) for request in cluster.told] == [True, True, False]


async def test_a_cluster_that_cannot_be_seen_keeps_its_rates_and_that_is_said_once() -> None:
    cluster = Cluster(data_node(10))
    quota, _ = center(cluster)
    cluster.away = True
    with log_lines() as lines:
        await quota.turn()
        cluster.trouble = CoordError("still nobody")
        await quota.turn()
        assert cluster.told == []
        cluster.away = False
        await quota.turn()
        await quota.turn()
    assert [line.message for line in lines] == [
        "the quota center cannot see the cluster, rates stay",
        "the quota center sees the cluster again",
    ]
    assert lines[0].fields["error"] == "nobody answers"
    assert len(cluster.told) == 2


def test_the_first_turn_comes_after_one_interval() -> None:
    loop = center(Cluster(data_node(10)))[0].loop()
    assert (loop.every_s, loop.first_after_s) == (3.0, 3.0)


async def test_without_quotas_each_proxy_is_told_once_that_nothing_is_limited() -> None:
    """A proxy keeps what it was told last, a denial too: an empty request takes all of it away."""
    cluster, clock = Cluster("{}"), ManualClock()
    proxies = Proxies(cluster)
    none = NoQuota(
        every_s=3.0,
        proxies=cast(Any, proxies),
        serve=ServeLease(clock, 10.0, clock.boottime()),
        clock=clock,
    )
    for ids, told in (((7,), 1), ((7,), 1), ((7, 9), 2), ((9,), 2), ((), 2), ((7, 9), 3)):
        proxies.ids = ids
        await none.turn()
        assert len(cluster.told) == told
    assert [list(request.rates) for request in cluster.told] == [[], [], []]
    assert none.loop().first_after_s == 0


async def test_a_proxy_that_could_not_be_told_is_told_again() -> None:
    cluster, clock = Cluster("{}"), ManualClock()
    proxies = Proxies(cluster)
    proxies.ids = (7,)
    serve = ServeLease(clock, 10.0, clock.boottime())
    none = NoQuota(every_s=3.0, proxies=cast(Any, proxies), serve=serve, clock=clock)

    cluster.away = True
    with pytest.raises(CoordError):
        await none.turn()
    cluster.away = False
    await none.turn()
    assert len(cluster.told) == 1
