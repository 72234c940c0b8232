"""RPCs about a role itself: its state, health and topics, its metrics and settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from milvus_coord.config import Settings
from milvus_coord.config.listing import listing
from milvus_coord.pb.milvus.proto import internal, milvus
from milvus_coord.pb.milvus.proto.common import KeyValuePair
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.family import Answering, RpcFamily
from milvus_coord.role.rpcs.system_info import SystemInfo
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.states import component_states
from milvus_coord.wire.status import ok


async def _no_problems() -> Sequence[str]:
    return ()


class ComponentRpcs(RpcFamily):
    """What a role is asked in every phase.

    Args:
        answering: whose RPCs they are.
        time_tick_channel: full name of a topic, which nobody writes to in 2.2.16.
        statistics_channel: as that.
        problems: one sentence for each part of the system that is not healthy.
    """

    def __init__(
        self,
        answering: Answering,
        *,
        time_tick_channel: str = "",
        statistics_channel: str = "",
        problems: Callable[[], Awaitable[Sequence[str]]] = _no_problems,
    ) -> None:
        super().__init__(answering)
        self._time_tick_channel = time_tick_channel
        self._statistics_channel = statistics_channel
        self._problems = problems

    @answers(always=True)
    async def get_component_states(self, request: UpbRequest) -> milvus.ComponentStates:
        lifecycle = self.answering.lifecycle
        return component_states(
            self.answering.contract.role, lifecycle.server_id, lifecycle.phase.state_code
        )

    @answers(always=True)
    async def get_time_tick_channel(self, request: UpbRequest) -> milvus.StringResponse:
        return milvus.StringResponse(status=ok(), value=self._time_tick_channel)

    @answers(always=True)
    async def get_statistics_channel(self, request: UpbRequest) -> milvus.StringResponse:
        return milvus.StringResponse(status=ok(), value=self._statistics_channel)

    @answers(always=True)
    async def check_health(self, request: UpbRequest) -> milvus.CheckHealthResponse:
        if self.answering.active:
            reasons = list(await self._problems())
        else:
            role, server_id = self.answering.contract.role, self.answering.lifecycle.server_id
            reasons = [
                f"role {role}[nodeID: {server_id}] is unhealthy, reason: {role} is unhealthy"
            ]
        return milvus.CheckHealthResponse(status=ok(), is_healthy=not reasons, reasons=reasons)


class InfoRpcs(RpcFamily):
    """What an active is asked about itself."""

    def __init__(self, answering: Answering, info: SystemInfo, settings: Settings) -> None:
        super().__init__(answering)
        self._info, self._settings = info, settings

    @answers()
    async def get_metrics(self, request: UpbRequest) -> milvus.GetMetricsResponse:
        return milvus.GetMetricsResponse(
            status=ok(),
            response=self._info.answer(request.request),
            component_name=self._info.me.component,
        )

    @answers()
    async def show_configurations(self, request: UpbRequest) -> internal.ShowConfigurationsResponse:
        pairs = listing(self._settings, f"{self.answering.contract.role}.{request.pattern}")
        return internal.ShowConfigurationsResponse(
            status=ok(),
            configuations=[KeyValuePair(key=key, value=value) for key, value in pairs],
        )
