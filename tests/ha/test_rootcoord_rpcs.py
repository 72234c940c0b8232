"""RootCoord's RPCs as a Go client meets them: on the wire, from a running process."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from grpclib.const import Status

from milvus_coord.model.timestamps import LOGICAL_MAX, physical_ms
from milvus_coord.pb.milvus.proto import internal, milvus, rootcoord
from milvus_coord.pb.milvus.proto.common import ErrorCode, StateCode
from milvus_coord.rpc.http2.channel import Channel
from milvus_coord.rpc.http2.unary import RpcError
from milvus_coord.wire.codec import WireCodec
from testing.certificates import TestAuthority
from testing.etcd import EtcdMember
from testing.ours import OurRole
from tests.ha.conftest import StartRole

T_S = 5.0
PATH = "/milvus.proto.rootcoord.RootCoord/"


@asynccontextmanager
async def client(
    role: OurRole, tls: ssl.SSLContext | None = None, **metadata: str
) -> AsyncIterator[Channel]:
    channel = Channel(role.address, codec=WireCodec(), metadata=metadata, tls=tls)
    try:
        yield channel
    finally:
        channel.close()


@pytest.fixture
async def serving(etcd: EtcdMember, rootcoord: StartRole) -> OurRole:
    role: OurRole = rootcoord(etcd.endpoints)
    role.start()
    await role.wait_active()
    return role


async def timestamps(channel: Channel, count: int) -> rootcoord.AllocTimestampResponse:
    return await channel.unary(
        PATH + "AllocTimestamp",
        rootcoord.AllocTimestampRequest(count=count),
        rootcoord.AllocTimestampResponse,
        timeout_s=T_S,
    )


async def ids(channel: Channel, count: int) -> rootcoord.AllocIdResponse:
    return await channel.unary(
        PATH + "AllocID",
        rootcoord.AllocIdRequest(count=count),
        rootcoord.AllocIdResponse,
        timeout_s=T_S,
    )


async def test_timestamps_are_contiguous_and_the_count_is_echoed(serving: OurRole) -> None:
    async with client(serving) as channel:
        first = await timestamps(channel, 10)
        second = await timestamps(channel, 1)
    assert (first.status.error_code, first.count, second.count) == (ErrorCode.Success, 10, 1)
    assert second.timestamp >= first.timestamp + 10
    now_ms = 1_600_000_000_000
    assert physical_ms(second.timestamp) > now_ms  # type: ignore[arg-type]  # a plain number here


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "tso count should be positive"), (LOGICAL_MAX, "can not get timestamp")],
)
async def test_timestamp_counts_that_cannot_be(serving: OurRole, count: int, words: str) -> None:
    async with client(serving) as channel:
        reply = await timestamps(channel, count)
    assert reply.status.error_code == ErrorCode.UnexpectedError
    assert reply.status.reason == f"AllocTimestamp failed: {words}"


async def test_ids_are_contiguous_and_zero_is_refused(serving: OurRole) -> None:
    async with client(serving) as channel:
        first = await ids(channel, 200_000)
        second = await ids(channel, 1)
        none = await ids(channel, 0)
    assert second.id == first.id + 200_000
    assert (none.status.error_code, none.count) == (ErrorCode.UnexpectedError, 0)
    assert none.status.reason.startswith("AllocID failed: ")


async def test_states_channels_and_health(serving: OurRole) -> None:
    async with client(serving) as channel:
        states = await channel.unary(
            PATH + "GetComponentStates",
            milvus.GetComponentStatesRequest(),
            milvus.ComponentStates,
            timeout_s=T_S,
        )
        tick = await channel.unary(
            PATH + "GetTimeTickChannel",
            internal.GetTimeTickChannelRequest(),
            milvus.StringResponse,
            timeout_s=T_S,
        )
        statistics = await channel.unary(
            PATH + "GetStatisticsChannel",
            internal.GetStatisticsChannelRequest(),
            milvus.StringResponse,
            timeout_s=T_S,
        )
        health = await channel.unary(
            PATH + "CheckHealth",
            milvus.CheckHealthRequest(),
            milvus.CheckHealthResponse,
            timeout_s=T_S,
        )
    assert (states.state.node_id, states.state.role) == (1, "rootcoord")
    assert states.state.state_code == StateCode.Healthy
    assert [info.to_dict() for info in states.subcomponent_states] == [states.state.to_dict()]
    assert tick.value == "by-dev-rootcoord-timetick"
    assert statistics.value == "by-dev-rootcoord-statistics"
    assert health.is_healthy
    assert health.reasons == []


async def test_health_names_a_proxy_that_does_not_answer(
    etcd: EtcdMember, serving: OurRole
) -> None:
    dead = '{"ServerID":9,"ServerName":"proxy","Address":"127.0.0.1:1","Version":"2.2.16"}'
    await etcd.ctl("put", "by-dev/meta/session/proxy-9", dead)
    async with client(serving) as channel:
        health = await channel.unary(
            PATH + "CheckHealth",
            milvus.CheckHealthRequest(),
            milvus.CheckHealthResponse,
            timeout_s=T_S,
        )
    assert not health.is_healthy
    assert health.reasons[0].startswith("role proxy[nodeID: 9] is unhealthy, reason: inner error: ")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (
            {"cluster": "other"},
            "expectedCluster=by-dev, actualCluster=other: cross cluster routing",
        ),
        (
            {"serverid": "999"},
            "expected=%!s(int64=999), actual=%!s(int64=1): server ID mismatch",
        ),
    ],
)
async def test_calls_for_others_are_refused_in_the_words_of_go(
    serving: OurRole, metadata: dict[str, str], words: str
) -> None:
    async with client(serving, None, **metadata) as channel:
        with pytest.raises(RpcError) as refused:
            await timestamps(channel, 1)
    assert (refused.value.code, refused.value.message) == (Status.UNKNOWN, words)


@pytest.mark.parametrize("mode", [1, 2])
async def test_tls_as_the_configuration_says(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path, mode: int
) -> None:
    authority = TestAuthority(tmp_path / "tls")
    server, visitor = authority.issue("server"), authority.issue("visitor")
    role: OurRole = rootcoord(
        etcd.endpoints,
        env={
            "HA_TLS_MODE": str(mode),
            "HA_TLS_SERVERPEMPATH": str(server.cert_file),
            "HA_TLS_SERVERKEYPATH": str(server.key_file),
            "HA_TLS_CAPEMPATH": str(authority.ca_file),
        },
    )
    role.start()
    await role.wait_active()
    trusting = ssl.create_default_context(cafile=str(authority.ca_file))
    trusting.set_alpn_protocols(["h2"])
    with_certificate = ssl.create_default_context(cafile=str(authority.ca_file))
    with_certificate.set_alpn_protocols(["h2"])
    with_certificate.load_cert_chain(visitor.cert_file, visitor.key_file)
    async with client(role, with_certificate) as channel:
        assert (await timestamps(channel, 1)).timestamp > 0
    async with client(role, trusting) as channel:
        if mode == 1:
            assert (await timestamps(channel, 1)).timestamp > 0
        else:
            with pytest.raises(RpcError):
                await timestamps(channel, 1)
    async with client(role) as channel:
        with pytest.raises(RpcError):
            await timestamps(channel, 1)


async def test_metrics_tell_who_is_active(serving: OurRole) -> None:
    async with client(serving) as channel:
        await ids(channel, 7)
    _, metrics = await serving.http("/metrics")
    assert 'milvus_num_node{node_id="1",role_name="rootcoord"} 1' in metrics
    assert "milvus_rootcoord_id_alloc_count 7" in metrics
    assert "# TYPE milvus_rootcoord_id_alloc_count counter" in metrics


async def test_management_port_of_a_standby(
    etcd: EtcdMember, serving: OurRole, rootcoord: StartRole
) -> None:
    standby: OurRole = rootcoord(etcd.endpoints)
    standby.start()
    await standby.wait_standby()
    assert (await standby.http("/healthz"))[:2] == (200, "OK")
    assert (await standby.http("/livez"))[0] == 200
    status, body = await standby.http("/readyz?verbose")
    assert status == 200
    assert "[+]position ok" in body
    status, body = await standby.http("/role")
    assert status == 429
    assert f'"holder":{{"server_id":1,"address":"{serving.address}"}}' in body
    assert "milvus_num_node{" not in (await standby.http("/metrics"))[1]
