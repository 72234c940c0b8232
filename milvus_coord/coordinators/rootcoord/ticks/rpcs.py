"""RootCoord's RPCs of time ticks: what proxies report, and ask to be forgotten."""

from __future__ import annotations

from typing import Final, cast

from milvus_coord.coordinators.rootcoord.proxies.work import Proxies
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.family import Answering, RpcFamily
from milvus_coord.wire.codec import Encoded
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import fail, ok

_SUCCESS: Final = cast(Status, Encoded(bytes(ok())))
"""The codec sends it as it is: every proxy reports five times a second."""


class TickRpcs(RpcFamily):
    """Reports go to the ticks, invalidations to all proxies as they came."""

    def __init__(self, answering: Answering, ticks: Ticks, proxies: Proxies) -> None:
        super().__init__(answering)
        self._ticks, self._proxies = ticks, proxies

    @answers("UpdateTimeTick failed: ")
    async def update_channel_time_tick(self, request: UpbRequest) -> Status:
        if (msg_type := request.base.msg_type) != MsgType.TimeTick:
            return fail(1, f"invalid message type {MsgType.try_value(msg_type).name or ''}")
        self._ticks.report(
            request.base.sourceID,
            request.channelNames,
            request.timestamps,
            request.default_timestamp,
        )
        return _SUCCESS

    @answers()
    async def invalidate_collection_meta_cache(self, request: UpbRequest) -> Status:
        await self._proxies.forward_invalidation(request.SerializeToString())
        return ok()
