"""One rootcoord at a fixed address, for the demo: RootCoordClient looks for the active one."""

from __future__ import annotations

from milvus_coord.clients.envelope import require
from milvus_coord.clients.service_client import NodeClient
from milvus_coord.pb.milvus.proto.rootcoord import AllocTimestampRequest, AllocTimestampResponse


class DemoRootCoord(NodeClient):
    """One rootcoord, active or not; of any cluster, with any server id."""

    service = "milvus.proto.rootcoord.RootCoord"

    def __init__(self, address: str, *, timeout_s: float) -> None:
        super().__init__(address, None, "", ask_timeout_s=timeout_s)

    async def alloc_timestamp(self) -> int:
        """One hybrid timestamp. Raises CallError, also for a refusal."""
        request = AllocTimestampRequest(count=1)
        reply = await self._ask("AllocTimestamp", request, AllocTimestampResponse)
        require(reply.status)
        return reply.timestamp
