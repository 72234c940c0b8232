"""What others ask of the querycoord."""

from __future__ import annotations

from typing import Final

from milvus_coord.clients.active_client import ActiveClient, Caller, Resolve
from milvus_coord.clients.envelope import base, require
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.pb.milvus.proto.milvus import GetMetricsRequest, GetMetricsResponse
from milvus_coord.pb.milvus.proto.query import ReleaseCollectionRequest

_SERVICE: Final = "milvus.proto.query.QueryCoord"


class QueryCoordClient:
    """The querycoord that is active. Every method raises CallError; a refusal has Go's text."""

    def __init__(
        self,
        resolve: Resolve,
        caller: Caller,
        *,
        timeout_s: float = 25.0,
        ask_timeout_s: float = 10.0,
    ) -> None:
        self._peers = ActiveClient("querycoord", _SERVICE, resolve, caller)
        self._source_id = caller.server_id
        self._timeout_s, self._ask_timeout_s = timeout_s, ask_timeout_s

    async def release_collection(self, collection_id: int, node_id: int) -> None:
        """Drop a collection from memory; fine when it is not loaded. `node_id` is our own id."""
        reply = await self._peers.call(
            "ReleaseCollection",
            ReleaseCollectionRequest(
                base=base(MsgType.ReleaseCollection, self._source_id),
                collection_id=collection_id,
                node_id=node_id,
            ),
            Status,
            timeout_s=self._timeout_s,
        )
        require(reply, "failed to release collection")

    async def metrics(self, request_json: str) -> str:
        """The JSON that it answers, about itself and its querynodes."""
        reply = await self._peers.call(
            "GetMetrics",
            GetMetricsRequest(
                base=base(MsgType.SystemInfo, self._source_id),
                request=request_json,
            ),
            GetMetricsResponse,
            timeout_s=self._ask_timeout_s,
        )
        require(reply.status)
        return reply.response

    def close(self) -> None:
        """Drop the connection."""
        self._peers.close()
