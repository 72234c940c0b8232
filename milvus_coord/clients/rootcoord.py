"""What others ask of the rootcoord."""

from __future__ import annotations

from milvus_coord.clients.active_client import CoordinatorClient
from milvus_coord.clients.envelope import require
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.pb.milvus.proto.common import MsgType
from milvus_coord.pb.milvus.proto.milvus import (
    DescribeCollectionRequest,
    DescribeCollectionResponse,
    ListDatabasesRequest,
    ListDatabasesResponse,
    ShowCollectionsRequest,
    ShowCollectionsResponse,
    ShowPartitionsRequest,
    ShowPartitionsResponse,
)
from milvus_coord.pb.milvus.proto.rootcoord import (
    AllocIdRequest,
    AllocIdResponse,
    AllocTimestampRequest,
    AllocTimestampResponse,
)


class RootCoordClient(CoordinatorClient):
    """The rootcoord that is active.

    The internal variants of Go 2.2.16 also know collections and partitions that are being created
    or dropped; the others know those that users see.
    """

    role = "rootcoord"
    service = "milvus.proto.rootcoord.RootCoord"

    async def alloc_timestamp(self, count: int = 1) -> Timestamp:
        """The first of `count` hybrid timestamps in a row, which nobody else gets."""
        request = AllocTimestampRequest(base=self._base(MsgType.RequestTSO), count=count)
        reply = await self._ask("AllocTimestamp", request, AllocTimestampResponse)
        require(reply.status)
        return Timestamp(reply.timestamp)

    async def alloc_id(self, count: int = 1) -> int:
        """The first of `count` ids in a row, which nobody else gets."""
        request = AllocIdRequest(base=self._base(MsgType.RequestID), count=count)
        reply = await self._ask("AllocID", request, AllocIdResponse)
        require(reply.status)
        return reply.id

    async def describe_collection(
        self, collection_id: int, *, internal: bool = False
    ) -> DescribeCollectionResponse:
        """One collection, as rootcoord answers it; the schema includes RowID and Timestamp."""
        request = DescribeCollectionRequest(
            base=self._base(MsgType.DescribeCollection), collection_id=collection_id
        )
        method = "DescribeCollectionInternal" if internal else "DescribeCollection"
        reply = await self._ask(method, request, DescribeCollectionResponse)
        require(reply.status)
        return reply

    async def show_collections(self, db_name: str = "") -> dict[str, int]:
        """The ids of the collections of one database, by name."""
        request = ShowCollectionsRequest(base=self._base(MsgType.ShowCollections), db_name=db_name)
        reply = await self._ask("ShowCollections", request, ShowCollectionsResponse)
        require(reply.status)
        return dict(zip(reply.collection_names, reply.collection_ids, strict=True))

    async def show_partitions(
        self, collection_id: int, *, internal: bool = False
    ) -> dict[str, int]:
        """The ids of the partitions of one collection, by name."""
        request = ShowPartitionsRequest(
            base=self._base(MsgType.ShowPartitions), collection_id=collection_id
        )
        method = "ShowPartitionsInternal" if internal else "ShowPartitions"
        reply = await self._ask(method, request, ShowPartitionsResponse)
        require(reply.status)
        return dict(zip(reply.partition_names, reply.partition_i_ds, strict=True))

    async def list_databases(self) -> tuple[str, ...]:
        """The names of all databases."""
        request = ListDatabasesRequest(base=self._base(MsgType.ListDatabases))
        reply = await self._ask("ListDatabases", request, ListDatabasesResponse)
        require(reply.status)
        return tuple(reply.db_names)
