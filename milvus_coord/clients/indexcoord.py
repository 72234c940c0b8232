"""What others ask of the indexcoord."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from milvus_coord.clients.active_client import ActiveClient, Caller, Resolve
from milvus_coord.clients.envelope import require
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.pb.milvus.proto.index import DropIndexRequest

_SERVICE: Final = "milvus.proto.index.IndexCoord"


class IndexCoordClient:
    """The indexcoord that is active. Every method raises CallError; a refusal has Go's text."""

    def __init__(self, resolve: Resolve, caller: Caller, *, timeout_s: float = 25.0) -> None:
        self._peers = ActiveClient("indexcoord", _SERVICE, resolve, caller)
        self._timeout_s = timeout_s

    async def drop_index(self, collection_id: int, partition_ids: Sequence[int] = ()) -> None:
        """Drop all indexes of a collection, or of some of its partitions; fine without any."""
        reply = await self._peers.call(
            "DropIndex",
            DropIndexRequest(
                collection_id=collection_id, partition_i_ds=list(partition_ids), drop_all=True
            ),
            Status,
            timeout_s=self._timeout_s,
        )
        require(reply)

    def close(self) -> None:
        """Drop the connection."""
        self._peers.close()
