"""What others ask of the querycoord."""

from __future__ import annotations

from milvus_coord.clients.active_client import CoordinatorClient
from milvus_coord.clients.envelope import require
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.pb.milvus.proto.query import ReleaseCollectionRequest


class QueryCoordClient(CoordinatorClient):
    """The querycoord that is active."""

    role = "querycoord"
    service = "milvus.proto.query.QueryCoord"

    async def release_collection(self, collection_id: int, node_id: int) -> None:
        """Drop a collection from memory if it is loaded. `node_id` is our own id."""
        request = ReleaseCollectionRequest(
            base=self._base(MsgType.ReleaseCollection),
            collection_id=collection_id,
            node_id=node_id,
        )
        reply = await self._tell("ReleaseCollection", request, Status)
        require(reply, "failed to release collection")
