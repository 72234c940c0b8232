"""The quota center: looks at the nodes every few seconds and tells the proxies their rates."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from milvus_coord.clients.datacoord import DataCoordClient
from milvus_coord.clients.querycoord import QueryCoordClient
from milvus_coord.coordinators.rootcoord.proxies.work import Proxies
from milvus_coord.coordinators.rootcoord.quota.rules import QuotaRules, decide
from milvus_coord.coordinators.rootcoord.quota.rules_rates import (
    UNLIMITED,
    CollectionQuota,
    DenyReason,
)
from milvus_coord.coordinators.rootcoord.quota.rules_readings import (
    Readings,
    data_cluster,
    proxy_throughput,
    query_cluster,
)
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError
from milvus_coord.model.timestamps import Timestamp, compose
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.say_once import SayOnce
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.telemetry.log import log
from milvus_coord.wire.codec import Encoded
from milvus_coord.wire.descriptors import message_class

SYSTEM_INFO: Final = '{"metric_type":"system_info"}'
_COLLECT_S: Final = 10.0
_SET_RATES: Final = "milvus.proto.proxy.SetRatesRequest"


class QuotaCenter:
    """One term's quota center. A round that cannot see everything is skipped, as in Go 2.2.16.

    `show` is told whether anything is denied for a reason.
    """

    def __init__(
        self,
        *,
        rules: QuotaRules,
        every_s: float,
        query_coord: QueryCoordClient,
        data_coord: DataCoordClient,
        proxies: Proxies,
        serve: ServeLease,
        clock: Clock,
        show: Callable[[DenyReason, bool], None],
    ) -> None:
        self._rules, self._every_s = rules, every_s
        self._query_coord, self._data_coord, self._proxies = query_coord, data_coord, proxies
        self._serve, self._clock, self._show = serve, clock, show
        self._denied: dict[int, DenyReason] = {}
        self._blind = SayOnce(False)

    def loop(self) -> Loop:
        """A turn each `every_s`; the first one after as long."""
        return Loop("rootcoord.quota", self._every_s, self.turn, first_after_s=self._every_s)

    async def turn(self) -> None:
        """One round; trouble is said when it begins and when it is over."""
        trouble = ""
        try:
            async with asyncio.timeout(_COLLECT_S):
                await self.round()
        except* (CoordError, TimeoutError) as failed:
            trouble = "; ".join(map(str, failed.exceptions)) or "no answer in time"
        if not self._blind.is_news(bool(trouble)):
            return
        if trouble:
            log.warn("the quota center cannot see the cluster, rates stay", error=trouble)
        else:
            log.info("the quota center sees the cluster again")

    async def round(self) -> None:
        """One look, and the rates that follow from it. Raises CoordErrors, also in a group."""
        seen = await self._look()
        now = compose(self._clock.wall_ns() // 1_000_000, 0)
        quotas = decide(self._rules, seen, now)
        self._say(quotas)
        if self._proxies.count:
            self._serve.require()
            await self._proxies.set_rates(set_rates(quotas, self._proxies.count, now))

    async def _look(self) -> Readings:
        async with TaskGroup() as tasks:
            query = tasks.create_task(self._query_coord.metrics(SYSTEM_INFO), name="quota.query")
            data = tasks.create_task(self._data_coord.metrics(SYSTEM_INFO), name="quota.data")
            proxies = tasks.create_task(self._proxies.metrics(SYSTEM_INFO), name="quota.proxies")
        data_nodes, binlogs = data_cluster(data.result())
        throughput: defaultdict[str, float] = defaultdict(float)
        for report in proxies.result():
            for label, rate in proxy_throughput(report).items():
                throughput[label] += rate
        return Readings(query_cluster(query.result()), data_nodes, binlogs, throughput)

    def _say(self, quotas: Sequence[CollectionQuota]) -> None:
        """Log whose access is denied and whose is given back, once each; set the metric."""
        denied = {quota.collection_id: why for quota in quotas for why in quota.states.values()}
        for id_, why in denied.items():
            if self._denied.get(id_) is not why:
                log.warn("quota denies access", collectionID=id_, reason=why.name)
        for id_ in self._denied.keys() - denied.keys():
            log.info("quota gives access back", collectionID=id_)
        self._denied = denied
        for reason in DenyReason:
            self._show(reason, reason in denied.values())


class NoQuota:
    """What a term does without quotas: it tells each proxy once that nothing is limited.

    A leader before may have denied something, and a proxy keeps what it was told last: a Go 2.2.16
    rootcoord without quotas leaves that as it is.
    """

    def __init__(
        self, *, every_s: float, proxies: Proxies, serve: ServeLease, clock: Clock
    ) -> None:
        self._every_s, self._proxies, self._serve, self._clock = every_s, proxies, serve, clock
        self._told: frozenset[int] = frozenset()

    def loop(self) -> Loop:
        """A look for proxies that have not been told, each `every_s`."""
        return Loop(
            "rootcoord.quota",
            self._every_s,
            self.turn,
            on=(CoordError,),
            purpose="tell the proxies that nothing is limited",
        )

    async def turn(self) -> None:
        """Tell all when there is a new one. Raises what telling raises."""
        there = frozenset(self._proxies.ids)
        if there - self._told:
            self._serve.require()
            now = compose(self._clock.wall_ns() // 1_000_000, 0)
            await self._proxies.set_rates(set_rates((), len(there), now))
        self._told = there


def set_rates(quotas: Iterable[CollectionQuota], proxies: int, now: Timestamp) -> Encoded:
    """A SetRatesRequest for each of `proxies`, which share every rate that has a limit.

    It replaces all that a proxy was told before. Go 2.2.16 puts the wall clock into the message.
    """
    request: Any = message_class(_SET_RATES)()
    request.base.msgID = request.base.timestamp = now
    for quota in quotas:
        one = request.rates.add(collection=quota.collection_id)
        for kind, rate in sorted(quota.rates.items()):
            one.rates.add(rt=kind, r=rate if rate >= UNLIMITED else rate / proxies)
        one.states.extend(quota.states.keys())
        one.codes.extend(quota.states.values())
    return Encoded(request.SerializeToString())
