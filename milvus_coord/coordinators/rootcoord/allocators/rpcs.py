"""RPCs that hand out timestamps and ids."""

from __future__ import annotations

from typing import Any, Final

from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.timestamps import TimestampAllocator
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.pb.milvus.proto.rootcoord import AllocIdResponse, AllocTimestampResponse
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.family import Answering, RpcFamily
from milvus_coord.wire.codec import encoded
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.requests import UpbRequest

_TIMESTAMPS: Final[Any] = message_class("milvus.proto.rootcoord.AllocTimestampResponse")
_IDS: Final[Any] = message_class("milvus.proto.rootcoord.AllocIDResponse")


class AllocatorRpcs(RpcFamily):
    """Blocks of timestamps and of ids; nothing is handed out once the serve lease lapsed.

    The count of the request is echoed: a Go proxy indexes what it gets by it. Replies are upb's
    messages too, for these are the RPCs that are called most.
    """

    def __init__(
        self,
        answering: Answering,
        serve: ServeLease,
        timestamps: TimestampAllocator,
        ids: IdAllocator,
        metrics: RootCoordMetrics,
    ) -> None:
        super().__init__(answering)
        self._serve, self._timestamps, self._ids = serve, timestamps, ids
        self._metrics = metrics

    @answers("AllocTimestamp failed: ")
    async def alloc_timestamp(self, request: UpbRequest) -> AllocTimestampResponse:
        count = request.count
        first = await self._timestamps.take(count)
        self._serve.require()
        self._metrics.timestamp.set(first + count - 1)
        return encoded(_TIMESTAMPS(timestamp=first, count=count), AllocTimestampResponse)

    @answers("AllocID failed: ", echo=("count",))
    async def alloc_id(self, request: UpbRequest) -> AllocIdResponse:
        count = request.count
        first = await self._ids.take(count)
        self._serve.require()
        self._metrics.ids.inc(count)
        return encoded(_IDS(ID=first, count=count), AllocIdResponse)
