"""RootCoord's RPCs of time ticks: what proxies report and ask to be forgotten, and two topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from grpclib.const import Handler

from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.pb.milvus.proto import internal, milvus, proxy
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.role.rpcs.family import RpcFamily, failure
from milvus_coord.wire.codec import Encoded
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.status import fail, ok

_UPDATE: Final = "/milvus.proto.rootcoord.RootCoord/UpdateChannelTimeTick"
_SUCCESS: Final = Encoded(bytes(ok()))


class Ticks(Protocol):
    """Who keeps the promises of the proxies."""

    def report(
        self, source: int, channels: Sequence[str], timestamps: Sequence[int], default: int
    ) -> None:
        """Raises Refused."""


class Proxies(Protocol):
    """Who reaches all proxies."""

    async def forward_invalidation(self, request: bytes) -> None:
        """Raises ProxyError, NotServing."""


class TickReport:
    """What is served as ChannelTimeTickMsg: a upb message.

    Every proxy sends one five times a second; it takes 3 us to read, betterproto's 230.
    """

    _upb: Final = message_class("milvus.proto.internal.ChannelTimeTickMsg")

    def SerializeToString(self) -> bytes:
        """An empty message; for rehearsals."""
        return b""

    @classmethod
    def FromString(cls, data: bytes) -> Any:
        """Raises DecodeError."""
        return cls._upb.FromString(data)


class TickRpcs(RpcFamily):
    """Args: the full names of the two topics, which nobody writes to in 2.2.16."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        ticks: Ticks,
        proxies: Proxies,
        *,
        time_tick_channel: str,
        statistics_channel: str,
    ) -> None:
        super().__init__(lifecycle)
        self._ticks, self._proxies = ticks, proxies
        self._time_tick_channel = time_tick_channel
        self._statistics_channel = statistics_channel

    def __mapping__(self) -> dict[str, Handler]:
        mapping = super().__mapping__()
        mapping[_UPDATE] = mapping[_UPDATE]._replace(request_type=TickReport)
        return mapping

    async def get_time_tick_channel(
        self, request: internal.GetTimeTickChannelRequest
    ) -> milvus.StringResponse:
        return milvus.StringResponse(status=ok(), value=self._time_tick_channel)

    async def get_statistics_channel(
        self, request: internal.GetStatisticsChannelRequest
    ) -> milvus.StringResponse:
        return milvus.StringResponse(status=ok(), value=self._statistics_channel)

    async def update_channel_time_tick(self, request: Any) -> Status:
        """`request` is a upb message, see `TickReport`; the reply is the same few bytes always."""
        if (refusal := self.refusal()) is not None:
            return refusal
        if (msg_type := request.base.msg_type) != MsgType.TimeTick:
            return fail(1, f"invalid message type {MsgType.try_value(msg_type).name or ''}")
        try:
            self._ticks.report(
                request.base.sourceID,
                request.channelNames,
                request.timestamps,
                request.default_timestamp,
            )
        except CoordError as error:
            return failure(error, "UpdateTimeTick failed: ")
        return _SUCCESS  # type: ignore[return-value]  # the codec sends it as it is

    async def invalidate_collection_meta_cache(
        self, request: proxy.InvalidateCollMetaCacheRequest
    ) -> Status:
        if (refusal := self.refusal()) is not None:
            return refusal
        try:
            await self._proxies.forward_invalidation(bytes(request))
        except NotServing:
            raise
        except CoordError as error:
            return failure(error)
        return ok()
