"""RPCs about partitions."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.collections.rpcs_ddl import DdlRpcs, require_any
from milvus_coord.coordinators.rootcoord.collections.rpcs_replies import exists, show_partitions
from milvus_coord.coordinators.rootcoord.collections.rules_requests import check_name
from milvus_coord.model.collection import Partition
from milvus_coord.pb.milvus.proto import milvus
from milvus_coord.pb.milvus.proto.common import MsgType, Status
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.family import require_type
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.status import ok


class PartitionRpcs(DdlRpcs):
    """Lookups by name take aliases too; those by id ask for no database. None travels in time."""

    @answers()
    async def create_partition(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.CreatePartition)
        check_name("partition", request.partition_name)
        await self._statements.create_partition(
            request.db_name, request.collection_name, request.partition_name
        )
        return ok()

    @answers()
    async def drop_partition(self, request: UpbRequest) -> Status:
        require_type(request, MsgType.DropPartition)
        await self._statements.drop_partition(
            request.db_name, request.collection_name, request.partition_name
        )
        return ok()

    @answers("HasPartition failed: ")
    async def has_partition(self, request: UpbRequest) -> milvus.BoolResponse:
        require_type(request, MsgType.HasPartition)
        state = self.state()
        collection = state.resolve(request.db_name, request.collection_name)
        return exists(state.partition(collection.id, request.partition_name) is not None)

    @answers("ShowPartitions failed: ")
    async def show_partitions(self, request: UpbRequest) -> milvus.ShowPartitionsResponse:
        require_type(request, MsgType.ShowPartitions)
        return show_partitions(self._partitions(request, unavailable=False))

    @answers("ShowPartitions failed: ")
    async def show_partitions_internal(self, request: UpbRequest) -> milvus.ShowPartitionsResponse:
        require_type(request, MsgType.ShowPartitions)
        return show_partitions(self._partitions(request, unavailable=True))

    def _partitions(self, request: UpbRequest, *, unavailable: bool) -> list[Partition]:
        """Unavailable ones, also of unavailable collections, are found by id alone."""
        state = self.state()
        if request.collection_name:
            collection_id = state.resolve(request.db_name, request.collection_name).id
            unavailable = False
        elif unavailable:
            collection_id = require_any(state, request.collectionID).id
        else:
            collection_id = state.by_id(request.collectionID).id
        return [each for each in state.partitions(collection_id) if unavailable or each.available]
