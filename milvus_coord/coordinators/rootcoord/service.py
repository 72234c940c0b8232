"""RootCoord's RPCs: guard, convert, call, convert."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from grpclib.const import Handler

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TimestampAllocator
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.ha.lifecycle import Lifecycle
from milvus_coord.ha.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.model.states import Phase
from milvus_coord.pb.milvus.proto import internal, milvus, rootcoord
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.wire.states import component_states
from milvus_coord.wire.status import fail, not_serving, ok

ROLE = "rootcoord"


@dataclass(frozen=True, slots=True)
class Channels:
    """Full names of the topics that others ask for."""

    time_tick: str
    statistics: str


class Proxies(Protocol):
    """Who knows the proxies."""

    async def ailments(self) -> list[str]:
        """One sentence for each proxy that is not healthy."""


class RootCoordService(rootcoord.RootCoordBase):
    """The RPCs that are there; the base class answers UNIMPLEMENTED to all others.

    Before the term is Healthy, and once the serve lease lapsed, nothing is handed out.
    """

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        serve: ServeLease,
        timestamps: TimestampAllocator,
        ids: IdAllocator,
        channels: Channels,
        proxies: Proxies,
        metrics: RootCoordMetrics,
    ) -> None:
        self._lifecycle, self._serve = lifecycle, serve
        self._timestamps, self._ids = timestamps, ids
        self._channels, self._proxies, self._metrics = channels, proxies, metrics

    @staticmethod
    def handlers() -> Iterable[Handler]:
        """The RPCs with the types of their messages; not to be called."""
        return rootcoord.RootCoordBase().__mapping__().values()

    async def get_component_states(
        self, request: milvus.GetComponentStatesRequest
    ) -> milvus.ComponentStates:
        state = self._lifecycle.phase.state_code
        return component_states(ROLE, self._lifecycle.server_id, state)

    async def get_time_tick_channel(
        self, request: internal.GetTimeTickChannelRequest
    ) -> milvus.StringResponse:
        return milvus.StringResponse(status=ok(), value=self._channels.time_tick)

    async def get_statistics_channel(
        self, request: internal.GetStatisticsChannelRequest
    ) -> milvus.StringResponse:
        return milvus.StringResponse(status=ok(), value=self._channels.statistics)

    async def alloc_timestamp(
        self, request: rootcoord.AllocTimestampRequest
    ) -> rootcoord.AllocTimestampResponse:
        refusal = self._not_ready()
        if refusal is not None:
            return rootcoord.AllocTimestampResponse(status=refusal)
        count = request.count
        try:
            first = await self._timestamps.take(count)
            self._serve.require()
        except NotServing:
            raise
        except CoordError as error:
            return rootcoord.AllocTimestampResponse(
                status=fail(error.code, f"AllocTimestamp failed: {error}")
            )
        self._metrics.timestamp.set(first + count - 1)
        return rootcoord.AllocTimestampResponse(status=ok(), timestamp=first, count=count)

    async def alloc_id(self, request: rootcoord.AllocIdRequest) -> rootcoord.AllocIdResponse:
        count = request.count
        refusal = self._not_ready()
        if refusal is not None:
            return rootcoord.AllocIdResponse(status=refusal, count=count)
        try:
            first = await self._ids.take(count)
            self._serve.require()
        except NotServing:
            raise
        except CoordError as error:
            return rootcoord.AllocIdResponse(
                status=fail(error.code, f"AllocID failed: {error}"), count=count
            )
        self._metrics.ids.inc(count)
        return rootcoord.AllocIdResponse(status=ok(), id=first, count=count)

    async def check_health(self, request: milvus.CheckHealthRequest) -> milvus.CheckHealthResponse:
        if self._lifecycle.phase is not Phase.ACTIVE:
            reason = (
                f"role {ROLE}[nodeID: {self._lifecycle.server_id}] is unhealthy, "
                f"reason: {ROLE} is unhealthy"
            )
            return milvus.CheckHealthResponse(status=ok(), is_healthy=False, reasons=[reason])
        reasons = await self._proxies.ailments()
        return milvus.CheckHealthResponse(status=ok(), is_healthy=not reasons, reasons=reasons)

    def _not_ready(self) -> Status | None:
        """The refusal that Go clients repeat on the same connection, while we activate."""
        phase = self._lifecycle.phase
        if phase is Phase.ACTIVE:
            return None
        return not_serving(ROLE, self._lifecycle.server_id, phase.state_code.name)
