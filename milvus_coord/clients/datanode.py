"""What a datacoord tells and asks one datanode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from milvus_coord.clients.envelope import require
from milvus_coord.clients.service_client import NodeClient
from milvus_coord.pb.milvus.proto.common import MsgType
from milvus_coord.pb.milvus.proto.data import (
    AddImportSegmentRequest,
    AddImportSegmentResponse,
    CompactionPlan,
    CompactionStateRequest,
    CompactionStateResponse,
    CompactionStateResult,
    FlushSegmentsRequest,
    ImportTask,
    ImportTaskRequest,
    SyncSegmentsRequest,
)

FLUSH_S: Final = 15.0
IMPORT_S: Final = 3 * 3600.0


class DataNodeClient(NodeClient):
    """One datanode. It is assigned channels by `channelwatch/` keys in etcd, not by calls.

    Timeouts are those of Go 2.2.16's datacoord.
    """

    service = "milvus.proto.data.DataNode"

    async def flush_segments(self, collection_id: int, segment_ids: Sequence[int]) -> None:
        """Begin to flush sealed segments; it reports each by SaveBinlogPaths when it is done."""
        request = FlushSegmentsRequest(
            base=self._base(MsgType.Flush),
            collection_id=collection_id,
            segment_i_ds=list(segment_ids),
        )
        await self._tell("FlushSegments", request, timeout_s=FLUSH_S)

    async def compact(self, plan: CompactionPlan) -> None:
        """Begin to compact; ask `compaction_states` for the outcome."""
        await self._tell("Compaction", plan)

    async def compaction_states(self) -> list[CompactionStateResult]:
        """All plans that it knows; a result stays until `sync_segments`."""
        request = CompactionStateRequest(base=self._base(MsgType.GetSystemConfigs))
        reply = await self._ask("GetCompactionState", request, CompactionStateResponse)
        require(reply.status)
        return reply.results

    async def sync_segments(self, request: SyncSegmentsRequest) -> None:
        """Replace segments by the one that they were compacted into; it forgets the plan then."""
        await self._tell("SyncSegments", request)

    async def import_(self, task: ImportTask) -> None:
        """Import files; it answers when the import is over. Done twice it imports twice."""
        request = ImportTaskRequest(base=self._base(MsgType.Undefined), import_task=task)
        await self._tell("Import", request, timeout_s=IMPORT_S)

    async def add_import_segment(self, request: AddImportSegmentRequest) -> bytes:
        """Take an imported segment into its channel; the position of the channel then.

        Of its base `timestamp` counts.
        """
        self._complete(MsgType.Undefined, request)
        reply = await self._ask("AddImportSegment", request, AddImportSegmentResponse)
        require(reply.status)
        return reply.channel_pos
