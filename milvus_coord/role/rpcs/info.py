"""RPCs about RootCoord itself: states, health, metrics, settings."""

from __future__ import annotations

from typing import Protocol

from milvus_coord.config import Settings
from milvus_coord.config.listing import listing
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.model.errors import CoordError
from milvus_coord.model.states import Phase
from milvus_coord.pb.milvus.proto import internal, milvus
from milvus_coord.pb.milvus.proto.common import KeyValuePair
from milvus_coord.role.rpcs.family import ROLE, RpcFamily, failure
from milvus_coord.role.rpcs.system_info import SystemInfo
from milvus_coord.wire.states import component_states
from milvus_coord.wire.status import ok


class Proxies(Protocol):
    """Who knows the proxies."""

    async def health_problems(self) -> list[str]:
        """One sentence for each proxy that is not healthy."""


class InfoRpcs(RpcFamily):
    """What others ask to know how we are."""

    def __init__(
        self, lifecycle: Lifecycle, proxies: Proxies, info: SystemInfo, settings: Settings
    ) -> None:
        super().__init__(lifecycle)
        self._proxies, self._info, self._settings = proxies, info, settings

    async def get_component_states(
        self, request: milvus.GetComponentStatesRequest
    ) -> milvus.ComponentStates:
        state = self.lifecycle.phase.state_code
        return component_states(ROLE, self.lifecycle.server_id, state)

    async def check_health(self, request: milvus.CheckHealthRequest) -> milvus.CheckHealthResponse:
        if self.lifecycle.phase is not Phase.ACTIVE:
            reason = (
                f"role {ROLE}[nodeID: {self.lifecycle.server_id}] is unhealthy, "
                f"reason: {ROLE} is unhealthy"
            )
            return milvus.CheckHealthResponse(status=ok(), is_healthy=False, reasons=[reason])
        reasons = await self._proxies.health_problems()
        return milvus.CheckHealthResponse(status=ok(), is_healthy=not reasons, reasons=reasons)

    async def get_metrics(self, request: milvus.GetMetricsRequest) -> milvus.GetMetricsResponse:
        refusal = self.refusal()
        if refusal is not None:
            return milvus.GetMetricsResponse(status=refusal)
        try:
            report = self._info.answer(request.request)
        except CoordError as error:
            return milvus.GetMetricsResponse(status=failure(error))
        return milvus.GetMetricsResponse(
            status=ok(), response=report, component_name=self._info.me.component
        )

    async def show_configurations(
        self, request: internal.ShowConfigurationsRequest
    ) -> internal.ShowConfigurationsResponse:
        refusal = self.refusal()
        if refusal is not None:
            return internal.ShowConfigurationsResponse(status=refusal)
        pairs = listing(self._settings, f"{ROLE}.{request.pattern}")
        return internal.ShowConfigurationsResponse(
            status=ok(),
            configuations=[KeyValuePair(key=key, value=value) for key, value in pairs],
        )
