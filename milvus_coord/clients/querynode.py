"""What a querycoord tells and asks one querynode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from milvus_coord.clients.envelope import require
from milvus_coord.clients.service_client import NodeClient
from milvus_coord.pb.milvus.proto.common import MsgType
from milvus_coord.pb.milvus.proto.data import SegmentInfo, VchannelInfo
from milvus_coord.pb.milvus.proto.internal import MsgPosition
from milvus_coord.pb.milvus.proto.query import (
    DataScope,
    GetDataDistributionRequest,
    GetDataDistributionResponse,
    LoadMetaInfo,
    LoadSegmentsRequest,
    ReleaseSegmentsRequest,
    SegmentLoadInfo,
    SyncAction,
    SyncDistributionRequest,
    UnsubDmChannelRequest,
    WatchDmChannelsRequest,
)
from milvus_coord.pb.milvus.proto.schema import CollectionSchema

LOAD_S: Final = 1800.0
"""As long as a load may take at all (`queryCoord.loadTimeoutSeconds`); Go sets no deadline."""
DISTRIBUTION_S: Final = 3.0


class QueryNodeClient(NodeClient):
    """One querynode. `task_id` is for its log; `version` is Unix time in nanoseconds."""

    service = "milvus.proto.query.QueryNode"

    async def watch_dm_channel(
        self,
        channel: VchannelInfo,
        *,
        task_id: int,
        collection_id: int,
        replica_id: int,
        schema: CollectionSchema,
        load_meta: LoadMetaInfo,
        segments: Mapping[int, SegmentInfo],
        version: int,
    ) -> None:
        """Lead the shard of one channel; it answers when the stream is being read.

        `channel` is as datacoord's recovery info has it, `segments` are all its flushed and
        unflushed ones, by id. `schema` has RowID and Timestamp, `load_meta` a metric type.
        """
        request = WatchDmChannelsRequest(
            base=self._base(MsgType.WatchDmChannels, msg_id=task_id),
            node_id=self._target_id,
            collection_id=collection_id,
            infos=[channel],
            schema=schema,
            load_meta=load_meta,
            replica_id=replica_id,
            segment_infos=dict(segments),
            version=version,
        )
        await self._tell("WatchDmChannels", request, timeout_s=LOAD_S)

    async def unsub_dm_channel(self, channel: str, *, task_id: int, collection_id: int) -> None:
        """Lead the shard no longer, and release its growing segments."""
        request = UnsubDmChannelRequest(
            base=self._base(MsgType.UnsubDmChannel, msg_id=task_id),
            node_id=self._target_id,
            collection_id=collection_id,
            channel_name=channel,
        )
        await self._tell("UnsubDmChannel", request, timeout_s=LOAD_S)

    async def load_segments(
        self,
        node_id: int,
        segments: Sequence[SegmentLoadInfo],
        *,
        task_id: int,
        collection_id: int,
        replica_id: int,
        schema: CollectionSchema,
        load_meta: LoadMetaInfo,
        delta_positions: Sequence[MsgPosition],
        version: int,
    ) -> None:
        """Have sealed segments loaded by `node_id`. This node leads their shard, and passes it on.

        CallRefused with InsufficientMemoryToLoad (52): they do not fit there.
        """
        request = LoadSegmentsRequest(
            base=self._base(MsgType.LoadSegments, msg_id=task_id),
            dst_node_id=node_id,
            infos=list(segments),
            schema=schema,
            collection_id=collection_id,
            load_meta=load_meta,
            replica_id=replica_id,
            delta_positions=list(delta_positions),
            version=version,
            need_transfer=True,
        )
        await self._tell("LoadSegments", request, timeout_s=LOAD_S)

    async def release_segments(
        self,
        node_id: int,
        segment_ids: Sequence[int],
        *,
        task_id: int,
        collection_id: int,
        shard: str,
        growing: bool,
        need_transfer: bool,
    ) -> None:
        """Release segments that `node_id` holds; with `need_transfer` the leader passes it on."""
        request = ReleaseSegmentsRequest(
            base=self._base(MsgType.ReleaseSegments, msg_id=task_id),
            node_id=node_id,
            collection_id=collection_id,
            segment_i_ds=list(segment_ids),
            scope=DataScope.try_value(DataScope.Streaming if growing else DataScope.All),
            shard=shard,
            need_transfer=need_transfer,
        )
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

    async def sync_distribution(
        self, collection_id: int, channel: str, actions: Sequence[SyncAction]
    ) -> None:
        """Correct the view that the leader of `channel` has of its segments."""
        request = SyncDistributionRequest(
            base=self._base(MsgType.SyncDistribution),
            collection_id=collection_id,
            channel=channel,
            actions=list(actions),
        )
        await self._tell("SyncDistribution", request)
