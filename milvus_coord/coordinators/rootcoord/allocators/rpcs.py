"""RPCs that hand out timestamps and ids."""

from __future__ import annotations

from typing import Any, Final

from grpclib.const import Handler

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TimestampAllocator
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.pb.milvus.proto.rootcoord import AllocIdResponse, AllocTimestampResponse
from milvus_coord.role.rpcs.family import RpcFamily, failure
from milvus_coord.wire.codec import encoded
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.requests import UpbRequest, read_by_upb

_TIMESTAMPS: Final[Any] = message_class("milvus.proto.rootcoord.AllocTimestampResponse")
_IDS: Final[Any] = message_class("milvus.proto.rootcoord.AllocIDResponse")


class AllocatorRpcs(RpcFamily):
    """Blocks of timestamps and of ids; nothing is handed out once the serve lease lapsed.

    The count of the request is echoed: a Go proxy indexes what it gets by it. Messages are upb's
    on both sides, for these are the RPCs that are called most.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        serve: ServeLease,
        timestamps: TimestampAllocator,
        ids: IdAllocator,
        metrics: RootCoordMetrics,
    ) -> None:
        super().__init__(lifecycle)
        self._serve, self._timestamps, self._ids = serve, timestamps, ids
        self._metrics = metrics

    def __mapping__(self) -> dict[str, Handler]:
        return read_by_upb(super().__mapping__())

    async def alloc_timestamp(self, request: UpbRequest) -> AllocTimestampResponse:
        refusal = self.refusal()
        if refusal is not None:
            return AllocTimestampResponse(status=refusal)
        count = request.count
        try:
            first = await self._timestamps.take(count)
            self._serve.require()
        except NotServing:
            raise
        except CoordError as error:
            return AllocTimestampResponse(status=failure(error, "AllocTimestamp failed: "))
        self._metrics.timestamp.set(first + count - 1)
        return encoded(_TIMESTAMPS(timestamp=first, count=count), AllocTimestampResponse)

    async def alloc_id(self, request: UpbRequest) -> AllocIdResponse:
        count = request.count
        refusal = self.refusal()
        if refusal is not None:
            return AllocIdResponse(status=refusal, count=count)
        try:
            first = await self._ids.take(count)
            self._serve.require()
        except NotServing:
            raise
        except CoordError as error:
            return AllocIdResponse(status=failure(error, "AllocID failed: "), count=count)
        self._metrics.ids.inc(count)
        return encoded(_IDS(ID=first, count=count), AllocIdResponse)
