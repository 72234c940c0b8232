"""What proxies send to a rootcoord about time ticks, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from milvus_coord.coordinators.rootcoord.proxies.work import ProxyError
from milvus_coord.coordinators.rootcoord.rpcs import contract
from milvus_coord.coordinators.rootcoord.ticks.rpcs import TickRpcs
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.model.errors import CoordError, NotServing, Refused
from milvus_coord.model.states import Phase
from milvus_coord.pb.milvus.proto import common, internal, milvus, proxy
from milvus_coord.role.rpcs.family import Answering, RpcFamily
from milvus_coord.role.rpcs.info import ComponentRpcs
from milvus_coord.rpc.http2.channel import Channel, member_metadata
from milvus_coord.rpc.http2.unary import RpcError
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.wire.codec import Encoded, WireCodec

SERVICE = "/milvus.proto.rootcoord.RootCoord"
TICK = common.MsgType.try_value(common.MsgType.TimeTick)
DROP = common.MsgType.try_value(common.MsgType.DropCollection)
TS = 470656885581152265


class Behind:
    """Ticks and proxies behind the RPCs."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, list[str], list[int], int]] = []
        self.forwarded: list[bytes] = []
        self.trouble: CoordError | None = None

    def report(
        self, source: int, channels: Sequence[str], timestamps: Sequence[int], default: int
    ) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.reports.append((source, list(channels), list(timestamps), default))

    async def forward_invalidation(self, request: bytes) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.forwarded.append(request)


class Served:
    """The RPCs behind a port, and a client."""

    def __init__(self, behind: Behind, lifecycle: Lifecycle, channel: Channel) -> None:
        self.behind, self.lifecycle, self._channel = behind, lifecycle, channel

    async def call(self, method: str, request: Any, reply_type: Any = common.Status) -> Any:
        return await self._channel.unary(f"{SERVICE}/{method}", request, reply_type, timeout_s=10.0)

    async def report(self, **fields: Any) -> common.Status:
        base = common.MsgBase(msg_type=fields.pop("msg_type", TICK), source_id=5)
        message = internal.ChannelTimeTickMsg(base=base, **fields)
        status: common.Status = await self.call("UpdateChannelTimeTick", message)
        return status


def families(behind: Any, lifecycle: Lifecycle) -> tuple[RpcFamily, ...]:
    answering = Answering(contract(), lifecycle)
    component = ComponentRpcs(
        answering, time_tick_channel="tt-topic", statistics_channel="st-topic"
    )
    return component, TickRpcs(answering, behind, behind)


@asynccontextmanager
async def serving(*phases: Phase) -> AsyncIterator[Served]:
    behind, lifecycle = Behind(), Lifecycle(SystemClock())
    for phase in phases:
        lifecycle.to(phase, epoch=1)
    server = RpcServer(
        families(behind, lifecycle),
        codec=WireCodec(),
        limits=Limits(),
        guards=Guards("", lambda: 1),
    )
    with ReservedPort.bind("127.0.0.1", 0) as reserved:
        await server.listen(reserved)
        address = f"127.0.0.1:{reserved.address[1]}"
        channel = Channel(address, codec=WireCodec(), metadata=member_metadata("", 1))
        try:
            yield Served(behind, lifecycle, channel)
        finally:
            channel.close()
            await server.abort()


@pytest.fixture
async def active() -> AsyncIterator[Served]:
    async with serving(Phase.STANDBY, Phase.ACTIVATING, Phase.ACTIVE) as served:
        yield served


async def test_a_report_reaches_the_ticks_as_it_was_sent(active: Served) -> None:
    channels = [f"by-dev-rootcoord-dml_{index}" for index in range(16)]
    stamps = [TS + index for index in range(16)]
    status = await active.report(
        channel_names=channels, timestamps=stamps, default_timestamp=2**64 - 1
    )
    assert status.error_code == common.ErrorCode.Success
    assert active.behind.reports == [(5, channels, stamps, 2**64 - 1)]


@pytest.mark.parametrize(
    ("number", "name"), [(0, "Undefined"), (101, "DropCollection"), (77777, "")]
)
async def test_another_type_of_message_is_refused_in_the_words_of_go(
    active: Served, number: int, name: str
) -> None:
    status = await active.report(msg_type=common.MsgType.try_value(number), default_timestamp=TS)
    assert (status.error_code, status.reason) == (1, f"invalid message type {name}")
    assert active.behind.reports == []


async def test_a_refused_report_says_so_in_the_words_of_go(active: Served) -> None:
    active.behind.trouble = Refused("skip ChannelTimeTickMsg from un-recognized session 5")
    status = await active.report(default_timestamp=TS)
    assert status.error_code == 1
    assert status.reason == (
        "UpdateTimeTick failed: skip ChannelTimeTickMsg from un-recognized session 5"
    )


async def test_bytes_that_are_no_report_are_refused(active: Served) -> None:
    with pytest.raises(RpcError, match="INVALID_ARGUMENT"):
        await active.call("UpdateChannelTimeTick", Encoded(b"\x0a\xff"))
    with pytest.raises(RpcError, match="INVALID_ARGUMENT"):
        await active.call("UpdateChannelTimeTick", Encoded(b"\x12\x02\xff\xfe"))


async def test_an_invalidation_is_passed_on_whole(active: Served) -> None:
    request = proxy.InvalidateCollMetaCacheRequest(
        base=common.MsgBase(msg_type=DROP, msg_id=9, timestamp=TS, source_id=44),
        db_name="db",
        collection_name="c",
        collection_id=8,
    )
    status = await active.call("InvalidateCollectionMetaCache", request)
    assert status.error_code == common.ErrorCode.Success
    assert active.behind.forwarded == [bytes(request)]


async def test_an_invalidation_that_fails_says_why(active: Served) -> None:
    active.behind.trouble = ProxyError("InvalidateCollectionMetaCache failed, proxyID = 5, err = x")
    request = proxy.InvalidateCollMetaCacheRequest()
    status = await active.call("InvalidateCollectionMetaCache", request)
    assert (status.error_code, status.reason) == (1, str(active.behind.trouble))
    active.behind.trouble = NotServing("lapsed")
    with pytest.raises(RpcError, match="UNAVAILABLE: lapsed"):
        await active.call("InvalidateCollectionMetaCache", request)


async def test_while_activating_only_the_topics_are_told() -> None:
    async with serving(Phase.STANDBY, Phase.ACTIVATING) as served:
        status = await served.report(default_timestamp=TS)
        assert status.error_code == common.ErrorCode.NotReadyServe
        status = await served.call(
            "InvalidateCollectionMetaCache", proxy.InvalidateCollMetaCacheRequest()
        )
        assert status.error_code == common.ErrorCode.NotReadyServe
        assert (served.behind.reports, served.behind.forwarded) == ([], [])
        for method, request, topic in (
            ("GetTimeTickChannel", internal.GetTimeTickChannelRequest(), "tt-topic"),
            ("GetStatisticsChannel", internal.GetStatisticsChannelRequest(), "st-topic"),
        ):
            reply = await served.call(method, request, milvus.StringResponse)
            assert reply.value == topic


def test_who_serves_what() -> None:
    component, ticks = families(Behind(), Lifecycle(SystemClock()))
    assert sorted(path.rpartition("/")[2] for path in component.__mapping__()) == [
        "CheckHealth",
        "GetComponentStates",
        "GetStatisticsChannel",
        "GetTimeTickChannel",
    ]
    assert sorted(path.rpartition("/")[2] for path in ticks.__mapping__()) == [
        "InvalidateCollectionMetaCache",
        "UpdateChannelTimeTick",
    ]
