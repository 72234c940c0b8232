"""All proxies at once, over real sockets: slow, hanging, dying, refusing, coming and going."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from milvus_coord.coordinators.rootcoord.proxies.pending_updates import READ_ALL_POLICIES
from milvus_coord.coordinators.rootcoord.proxies.work import Proxies, ProxyError
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import NotServing
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.pb.milvus.proto import common, proxy
from milvus_coord.runtime.clock import ManualClock, SystemClock
from testing.fake_proxies import (
    CLUSTER,
    META_ROOT,
    FakeProxy,
    proxy_servers,
    register,
    unregister,
)
from testing.rpc import eventually

TS = Timestamp(470656566506815489)
DROP = common.MsgType.try_value(common.MsgType.DropCollection)
OWN_ID = 3
SOON_S = 10.0


class Roll:
    """Who is there, as the time ticks are told; and how many, as the metrics are."""

    def __init__(self) -> None:
        self.told: list[set[int]] = []
        self.counts: list[int] = []

    def proxies_changed(self, proxies: Collection[int]) -> None:
        self.told.append(set(proxies))

    def count_changed(self, count: int) -> None:
        self.counts.append(count)


class Cluster:
    """Proxies with sessions in an etcd in memory, and our side of them."""

    def __init__(
        self,
        servers: list[FakeProxy],
        *,
        tell_s: float,
        ask_s: float,
        predecessor_stopped_at: float = 0.0,
    ) -> None:
        self.clock = SystemClock()
        self.etcd = MemoryEtcd(self.clock)
        self.servers, self.roll = servers, Roll()
        self.serve_clock = ManualClock()
        self.serve = ServeLease(self.serve_clock, 1.0, self.serve_clock.boottime())
        self.proxies = Proxies(
            etcd=self.etcd,
            clock=self.clock,
            serve=self.serve,
            meta_root=META_ROOT,
            cluster=CLUSTER,
            server_id=OWN_ID,
            on_change=self.roll.proxies_changed,
            count_changed=self.roll.count_changed,
            tell_s=tell_s,
            ask_s=ask_s,
            predecessor_stopped_at=predecessor_stopped_at,
        )

    async def known(self, *server_ids: int) -> None:
        await eventually(lambda: self.proxies.ids == server_ids)


@asynccontextmanager
async def cluster_of(
    *server_ids: int,
    tell_s: float = SOON_S,
    ask_s: float = SOON_S,
    predecessor_stopped_at: float = 0.0,
) -> AsyncIterator[Cluster]:
    """Proxies that are known, connected, and have read all policies."""
    async with proxy_servers(*server_ids) as servers:
        cluster = Cluster(
            servers, tell_s=tell_s, ask_s=ask_s, predecessor_stopped_at=predecessor_stopped_at
        )
        for each in servers:
            await register(cluster.etcd, each)
        following = asyncio.create_task(cluster.proxies.run(), name="proxies")
        try:
            await asyncio.wait_for(cluster.proxies.ready(), SOON_S)
            await eventually(lambda: all(each.called.is_set() for each in servers))
            for each in servers:
                each.called.clear()
            yield cluster
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def started(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(work, name="call")


async def forget(cluster: Cluster) -> None:
    await cluster.proxies.invalidate_collection("default", collection_id=7, ts=TS)


async def test_a_collection_is_forgotten_by_id_by_all() -> None:
    async with cluster_of(5, 6) as cluster:
        await cluster.proxies.invalidate_collection(
            "db", collection_id=7, names=("ignored",), ts=TS, dropped=True
        )
        for each in cluster.servers:
            (request,) = each.told("InvalidateCollectionMetaCache")
            assert (request.db_name, request.collection_name) == ("db", "")
            assert request.collection_id == 7
            assert request.base.msg_type == DROP
            assert (request.base.timestamp, request.base.source_id) == (TS, OWN_ID)


async def test_a_collection_is_forgotten_by_its_names_in_order() -> None:
    async with cluster_of(5) as cluster:
        await cluster.proxies.invalidate_collection("db", names=("alias", "name"), ts=TS)
        requests = cluster.servers[0].told("InvalidateCollectionMetaCache")
        assert [request.collection_name for request in requests] == ["alias", "name"]
        assert {(request.collection_id, request.base.msg_type) for request in requests} == {(0, 0)}


async def test_a_request_of_others_is_forwarded_as_it_came() -> None:
    request = proxy.InvalidateCollMetaCacheRequest(
        base=common.MsgBase(msg_type=DROP, msg_id=9, source_id=44),
        db_name="db",
        collection_name="c",
        collection_id=8,
    )
    async with cluster_of(5, 6) as cluster:
        await cluster.proxies.forward_invalidation(bytes(request))
        for each in cluster.servers:
            assert [bytes(got) for got in each.told("InvalidateCollectionMetaCache")] == [
                bytes(request)
            ]


async def test_no_proxies_is_success() -> None:
    async with cluster_of() as cluster:
        await forget(cluster)
        assert await cluster.proxies.metrics("{}") == []
        assert await cluster.proxies.health_problems() == []
        assert cluster.roll.counts == [0]
        assert cluster.roll.told == [set()]


async def test_calls_wait_for_the_listing() -> None:
    cluster = Cluster([], tell_s=SOON_S, ask_s=SOON_S)
    cluster.etcd.partition(silent=True)
    following = started(cluster.proxies.run())
    waiting = started(forget(cluster))
    await asyncio.sleep(0)
    assert not waiting.done()
    cluster.etcd.heal()
    await asyncio.wait_for(waiting, SOON_S)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_refusal_fails_the_call_in_the_words_of_go_but_all_others_are_told() -> None:
    async with cluster_of(5, 6, 7) as cluster:
        refusing, slow = cluster.servers[1], cluster.servers[2]
        refusing.refusal = "proxy not healthy"
        slow.answering.clear()
        call = started(forget(cluster))
        await asyncio.wait_for(slow.called.wait(), SOON_S)
        assert not call.done()
        slow.answering.set()
        text = r"^InvalidateCollectionMetaCache failed, proxyID = 6, err = proxy not healthy$"
        with pytest.raises(ProxyError, match=text):
            await call
        told = [len(each.told("InvalidateCollectionMetaCache")) for each in cluster.servers]
        assert told == [1, 1, 1]


async def test_one_that_hangs_has_its_own_deadline_and_stops_no_other_call() -> None:
    async with cluster_of(5, 6, tell_s=0.6, ask_s=0.2) as cluster:
        hanging, well = cluster.servers
        hanging.answering.clear()
        call = started(forget(cluster))
        await asyncio.wait_for(hanging.called.wait(), SOON_S)
        assert len(await cluster.proxies.health_problems()) == 1
        assert not call.done()
        with pytest.raises(ProxyError, match=r"proxyID = 5, err = no answer within 0\.6 s"):
            await call
        assert len(well.told("InvalidateCollectionMetaCache")) == 1


async def test_one_that_goes_while_it_hangs_counts_no_longer() -> None:
    async with cluster_of(5, 6) as cluster:
        hanging = cluster.servers[0]
        hanging.answering.clear()
        calls = [started(forget(cluster)) for _ in range(3)]
        await eventually(lambda: len(hanging.told("InvalidateCollectionMetaCache")) == 3)
        await unregister(cluster.etcd, 5)
        await asyncio.wait_for(asyncio.gather(*calls), 2)
        assert cluster.roll.told[-1] == {6}
        assert cluster.roll.counts[-1] == 1


async def test_one_that_died_is_tried_until_its_session_ends() -> None:
    async with cluster_of(5, 6) as cluster:
        await cluster.servers[0].die()
        call = started(forget(cluster))
        await asyncio.wait_for(cluster.servers[1].called.wait(), SOON_S)
        await unregister(cluster.etcd, 5)
        await asyncio.wait_for(call, 2)


async def test_one_that_dies_with_a_call_in_flight_and_comes_back_is_told_again() -> None:
    async with cluster_of(5) as cluster:
        (server,) = cluster.servers
        server.answering.clear()
        call = started(forget(cluster))
        await eventually(lambda: len(server.told("InvalidateCollectionMetaCache")) == 1)
        port = server.port
        await server.die()
        server.answering.set()
        await server.serve(port)
        await asyncio.wait_for(call, SOON_S)
        assert len(server.told("InvalidateCollectionMetaCache")) == 2


async def test_one_that_stays_dead_fails_the_call_by_its_deadline() -> None:
    async with cluster_of(5, tell_s=0.5) as cluster:
        await cluster.servers[0].die()
        text = r"^InvalidateCollectionMetaCache failed, proxyID = 5, err = 127\.0\.0\.1:\d+: UNAV"
        with pytest.raises(ProxyError, match=text):
            await forget(cluster)


async def test_another_process_at_the_address_is_not_told() -> None:
    async with cluster_of(5, tell_s=0.5) as cluster:
        cluster.servers[0].server_id = 55
        with pytest.raises(ProxyError, match="server ID mismatch"):
            await forget(cluster)
        assert cluster.servers[0].told("InvalidateCollectionMetaCache") == []


async def test_one_that_moves_is_called_at_its_new_address() -> None:
    async with cluster_of(5) as cluster, proxy_servers(5) as (moved,):
        await cluster.servers[0].die()
        call = started(forget(cluster))
        await register(cluster.etcd, moved)
        await asyncio.wait_for(call, SOON_S)
        assert len(moved.told("InvalidateCollectionMetaCache")) == 1


async def test_nobody_is_told_anything_without_the_serve_lease() -> None:
    async with cluster_of(5) as cluster:
        cluster.serve_clock.advance(5.0)
        for call in (
            forget(cluster),
            cluster.proxies.set_rates(b""),
            cluster.proxies.update_credential("u", "p"),
        ):
            with pytest.raises(NotServing):
                await call
        assert len(cluster.servers[0].heard) == 1
        assert await cluster.proxies.metrics("{}") == ['{"proxy":5}']


async def test_the_end_of_the_term_fails_what_waits_and_what_comes() -> None:
    async with cluster_of(5) as cluster:
        cluster.servers[0].answering.clear()
        call = started(forget(cluster))
        await eventually(lambda: len(cluster.servers[0].told("InvalidateCollectionMetaCache")) == 1)
    with pytest.raises(NotServing):
        await call
    with pytest.raises(NotServing):
        await forget(cluster)


async def test_a_caller_that_hangs_up_cancels_its_calls() -> None:
    async with cluster_of(5, 6) as cluster:
        cluster.servers[0].answering.clear()
        call = started(forget(cluster))
        await asyncio.wait_for(cluster.servers[0].called.wait(), SOON_S)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert call.cancelled()
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert not [name for name in names if name.startswith("InvalidateCollection")]


async def test_metrics_and_rates_reach_all() -> None:
    async with cluster_of(5, 6) as cluster:
        assert sorted(await cluster.proxies.metrics("{}")) == ['{"proxy":5}', '{"proxy":6}']
        rates = proxy.SetRatesRequest(rates=[proxy.CollectionRate(collection=4)])
        await cluster.proxies.set_rates(bytes(rates))
        for each in cluster.servers:
            assert [request.rates[0].collection for request in each.told("SetRates")] == [4]
            (asked,) = each.told("GetProxyMetrics")
            assert asked.request == "{}"
        cluster.servers[0].refusal = "busy"
        with pytest.raises(ProxyError, match=r"^GetMetrics failed, proxyID = 5, err = busy$"):
            await cluster.proxies.metrics("{}")


async def test_health_problems_are_in_the_words_of_go() -> None:
    async with cluster_of(5, 6, 7, 8, ask_s=0.5) as cluster:
        dead, unwell, hanging, _ = cluster.servers
        await dead.die()
        unwell.state = common.StateCode.try_value(common.StateCode.Abnormal)
        hanging.answering.clear()
        first, second, third = await cluster.proxies.health_problems()
        assert first.startswith("role proxy[nodeID: 5] is unhealthy, reason: inner error: 127.0.0.")
        unwell_text = "role proxy[nodeID: 6] is unhealthy, reason: node is unhealthy, state code: "
        assert second == f"{unwell_text}2"
        assert third.startswith("role proxy[nodeID: 7] is unhealthy, reason: inner error: no answ")


async def test_credentials_reach_all_at_once_or_later() -> None:
    async with cluster_of(5, 6) as cluster:
        await cluster.proxies.update_credential("u", "sha")
        cluster.proxies.invalidate_credential_later("u")
        cluster.proxies.invalidate_credential_later("v")
        for server in cluster.servers:
            (update,) = server.told("UpdateCredentialCache")
            assert (update.username, update.password) == ("u", "sha")
            await eventually(lambda server=server: len(server.told(_FORGET)) == 2)  # type: ignore[misc]
            assert [request.username for request in server.told(_FORGET)] == ["u", "v"]


_FORGET = "InvalidateCredentialCache"


def policies(server: FakeProxy) -> list[tuple[int, str]]:
    return [(each.op_type, each.op_key) for each in server.told("RefreshPolicyInfoCache")]


_READ_ALL = (READ_ALL_POLICIES.op_type, READ_ALL_POLICIES.op_key)


async def test_each_proxy_reads_all_policies_first_and_then_takes_changes_in_order() -> None:
    changes = [(1, "u/r"), (2, "u/r"), (1, "u/r"), (6, "r")]
    async with cluster_of(5, 6) as cluster:
        hanging, well = cluster.servers
        hanging.answering.clear()
        for change in changes:
            cluster.proxies.refresh_policy_later(*change)
        await eventually(lambda: policies(well) == [_READ_ALL, *changes])
        hanging.answering.set()
        await eventually(lambda: policies(hanging) == [_READ_ALL, *changes])


async def test_after_a_failure_a_proxy_reads_all_policies_instead() -> None:
    async with cluster_of(5) as cluster:
        (server,) = cluster.servers
        await eventually(lambda: policies(server) == [_READ_ALL])
        server.refusal = "invalid opType"
        cluster.proxies.refresh_policy_later(3, "p")
        cluster.proxies.refresh_policy_later(4, "q")
        cluster.proxies.invalidate_credential_later("u")
        await eventually(lambda: len(policies(server)) >= 3)
        server.refusal = ""
        await eventually(lambda: len(server.told("InvalidateCredentialCache")) == 1)
        assert policies(server)[:2] == [_READ_ALL, (3, "p")]
        assert set(policies(server)[2:]) == {_READ_ALL}


async def test_pending_updates_of_a_dead_proxy_are_done_when_it_is_back() -> None:
    async with cluster_of(5) as cluster:
        (server,) = cluster.servers
        await eventually(lambda: policies(server) == [_READ_ALL])
        port = server.port
        await server.die()
        cluster.proxies.refresh_policy_later(3, "p")
        cluster.proxies.invalidate_credential_later("u")
        await server.serve(port)
        await eventually(lambda: len(server.told("InvalidateCredentialCache")) == 1)
        assert policies(server)[1:] in ([(3, "p")], [_READ_ALL])


async def test_one_that_joins_reads_all_policies() -> None:
    async with cluster_of(5) as cluster, proxy_servers(6) as (joining,):
        cluster.proxies.refresh_policy_later(3, "p")
        await register(cluster.etcd, joining)
        await cluster.known(5, 6)
        await eventually(lambda: policies(joining) == [_READ_ALL])
        assert cluster.roll.told == [{5}, {5, 6}]


async def test_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with cluster_of(5, 6) as cluster:
        cluster.servers[0].answering.clear()
        cluster.proxies.refresh_policy_later(3, "p")
        await unregister(cluster.etcd, 6)
        await cluster.known(5)
    await eventually(lambda: asyncio.all_tasks() <= before)


async def test_background_calls_wait_until_the_leader_before_us_has_stopped() -> None:
    predecessor_stopped_at = SystemClock().boottime() + 0.3
    async with cluster_of(5, predecessor_stopped_at=predecessor_stopped_at) as cluster:
        # It has been told to read all policies by now, which is the first of these calls.
        assert SystemClock().boottime() >= predecessor_stopped_at
        assert cluster.servers[0].told("RefreshPolicyInfoCache")
