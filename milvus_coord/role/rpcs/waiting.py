"""What RootCoord answers while a term begins: how it is, and NotReadyServe to all else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.const import Handler

from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.pb.milvus.proto import internal, milvus, rootcoord
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.role.rpcs.family import ROLE, RpcFamily
from milvus_coord.wire.states import component_states
from milvus_coord.wire.status import not_serving, ok


class WaitingRpcs(RpcFamily):
    """All 47. Args: the full names of the two topics, which others ask for at any time."""

    def __init__(
        self, lifecycle: Lifecycle, *, time_tick_channel: str, statistics_channel: str
    ) -> None:
        super().__init__(lifecycle)
        self._time_tick_channel = time_tick_channel
        self._statistics_channel = statistics_channel

    def __mapping__(self) -> dict[str, Handler]:
        every = rootcoord.RootCoordBase.__mapping__(self)
        refusals = {path: self._refusing(handler) for path, handler in every.items()}
        return refusals | super().__mapping__()

    def _refusing(self, handler: Handler) -> Handler:
        """Read the request, so that a damaged one is told so, and refuse it."""

        async def refuse(stream: Any) -> None:
            await stream.recv_message()
            await stream.send_message(self._refusal(handler.reply_type))

        serve: Callable[[Any], Awaitable[None]] = refuse
        return handler._replace(func=serve)

    def _refusal(self, reply_type: Any) -> Any:
        status = not_serving(ROLE, self.lifecycle.server_id, self.lifecycle.phase.state_code.name)
        return status if reply_type is Status else reply_type(status=status)

    async def get_component_states(
        self, request: milvus.GetComponentStatesRequest
    ) -> milvus.ComponentStates:
        state = self.lifecycle.phase.state_code
        return component_states(ROLE, self.lifecycle.server_id, state)

    async def get_time_tick_channel(
        self, request: internal.GetTimeTickChannelRequest
    ) -> milvus.StringResponse:
        return milvus.StringResponse(status=ok(), value=self._time_tick_channel)

    async def get_statistics_channel(
        self, request: internal.GetStatisticsChannelRequest
    ) -> milvus.StringResponse:
        return milvus.StringResponse(status=ok(), value=self._statistics_channel)

    async def check_health(self, request: milvus.CheckHealthRequest) -> milvus.CheckHealthResponse:
        reason = (
            f"role {ROLE}[nodeID: {self.lifecycle.server_id}] is unhealthy, "
            f"reason: {ROLE} is unhealthy"
        )
        return milvus.CheckHealthResponse(status=ok(), is_healthy=False, reasons=[reason])
