"""What a querycoord tells and asks one querynode."""

from __future__ import annotations

from typing import Final

from milvus_coord.clients.envelope import require
from milvus_coord.clients.service_client import NodeClient
from milvus_coord.pb.milvus.proto.common import MsgType
from milvus_coord.pb.milvus.proto.query import (
    GetDataDistributionRequest,
    GetDataDistributionResponse,
    LoadSegmentsRequest,
    ReleaseSegmentsRequest,
    SyncDistributionRequest,
    UnsubDmChannelRequest,
    WatchDmChannelsRequest,
)

LOAD_S: Final = 1800.0
"""As long as a load may take at all (`queryCoord.loadTimeoutSeconds`); Go sets no deadline."""
DISTRIBUTION_S: Final = 3.0


class QueryNodeClient(NodeClient):
    """One querynode.

    Requests are given without a base, or with a `msg_id` in it for the node's log, the id of a
    task; their `version` is Unix time in nanoseconds.
    """

    service = "milvus.proto.query.QueryNode"

    async def watch_dm_channel(self, request: WatchDmChannelsRequest) -> None:
        """Lead the shard of one channel; it answers when the stream is being read.

        The channel is as datacoord's recovery info has it, `segment_infos` are all its flushed and
        unflushed ones. The schema has RowID and Timestamp, `load_meta` a metric type.
        """
        request.node_id = self._target_id
        self._complete(MsgType.WatchDmChannels, request)
        await self._tell("WatchDmChannels", request, timeout_s=LOAD_S)

    async def unsub_dm_channel(self, request: UnsubDmChannelRequest) -> None:
        """Lead the shard no longer, and release its growing segments."""
        request.node_id = self._target_id
        self._complete(MsgType.UnsubDmChannel, request)
        await self._tell("UnsubDmChannel", request, timeout_s=LOAD_S)

    async def load_segments(self, request: LoadSegmentsRequest) -> None:
        """Have sealed segments loaded by `dst_node_id`.

        This node leads their shard, and passes it on. CallRefused with InsufficientMemoryToLoad
        (52): they do not fit there.
        """
        request.need_transfer = True
        self._complete(MsgType.LoadSegments, request)
        await self._tell("LoadSegments", request, timeout_s=LOAD_S)

    async def release_segments(self, request: ReleaseSegmentsRequest) -> None:
        """Release segments of `node_id`; with `need_transfer` the leader passes it on.

        The scope is DataScope.Streaming for growing segments, and All for sealed ones.
        """
        self._complete(MsgType.ReleaseSegments, request)
        await self._tell("ReleaseSegments", request, timeout_s=LOAD_S)

    async def data_distribution(self) -> GetDataDistributionResponse:
        """The sealed segments that it holds, and the shards that it leads."""
        reply = await self._call(
            "GetDataDistribution",
            GetDataDistributionRequest(base=self._base(MsgType.Undefined)),
            GetDataDistributionResponse,
            timeout_s=DISTRIBUTION_S,
        )
        require(reply.status)
        return reply

    async def sync_distribution(self, request: SyncDistributionRequest) -> None:
        """Correct the view that the leader of a channel has of its segments."""
        self._complete(MsgType.SyncDistribution, request)
        await self._tell("SyncDistribution", request)
