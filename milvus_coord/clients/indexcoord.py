"""What others ask of the indexcoord."""

from __future__ import annotations

from collections.abc import Sequence

from milvus_coord.clients.active_client import CoordinatorClient
from milvus_coord.clients.envelope import require
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.pb.milvus.proto.index import DropIndexRequest


class IndexCoordClient(CoordinatorClient):
    """The indexcoord that is active."""

    role = "indexcoord"
    service = "milvus.proto.index.IndexCoord"

    async def drop_index(self, collection_id: int, partition_ids: Sequence[int] = ()) -> None:
        """Drop all indexes of a collection, or of some of its partitions, if there are any."""
        request = DropIndexRequest(
            collection_id=collection_id, partition_i_ds=list(partition_ids), drop_all=True
        )
        require(await self._tell("DropIndex", request, Status))
