"""What others ask of the datacoord."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from milvus_coord.clients.active_client import CoordinatorClient
from milvus_coord.clients.envelope import require
from milvus_coord.model.collection import Collection
from milvus_coord.model.schema import Field, Pairs
from milvus_coord.pb.milvus.proto.common import KeyValuePair, MsgType, Status
from milvus_coord.pb.milvus.proto.data import (
    FlushRequest,
    FlushResponse,
    GcConfirmRequest,
    GcConfirmResponse,
    GetSegmentStatesRequest,
    GetSegmentStatesResponse,
    ImportTask,
    ImportTaskRequest,
    ImportTaskResponse,
    UnsetIsImportingStateRequest,
)
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.schema import fill_field, fill_pairs

_WATCH: Final = "milvus.proto.data.WatchChannelsRequest"
_WATCHED: Final = "milvus.proto.data.WatchChannelsResponse"
_FIELD: Final = "milvus.proto.schema.FieldSchema"
_ALTER: Final = "milvus.proto.data.AlterCollectionRequest"

WHOLE_COLLECTION: Final = -1


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """One import task as datacoord is asked to find a datanode for it.

    `infos` are the user's options; `busy_nodes` the datanodes that it should not take.
    """

    task_id: int
    collection_id: int
    partition_id: int
    virtual_channels: tuple[str, ...]
    files: tuple[str, ...]
    infos: Pairs
    database_name: str
    busy_nodes: tuple[int, ...] = ()


class DataCoordClient(CoordinatorClient):
    """The datacoord that is active.

    All calls may be repeated without harm except `import_`: a datanode that gets a task twice
    imports it twice.
    """

    role = "datacoord"
    service = "milvus.proto.data.DataCoord"

    async def watch_channels(self, collection: Collection) -> None:
        """Let the collection's virtual channels be read from their start positions on."""
        request: Any = message_class(_WATCH)()
        request.collectionID = collection.id
        request.channelNames.extend(collection.virtual_channels)
        _describe(request, collection)
        reply: Any = await self._tell("WatchChannels", request, message_class(_WATCHED))
        require(reply.status, "failed to watch channels")

    async def broadcast_altered(
        self, collection: Collection, partition_ids: Sequence[int], properties: Pairs
    ) -> None:
        """Replace datacoord's copy of the collection; `properties` replaces all of its own.

        Go 2.2.16 puts a zero for each partition before the ids; datacoord has no use for them.
        """
        request: Any = message_class(_ALTER)()
        request.collectionID = collection.id
        request.partitionIDs.extend(partition_ids)
        _describe(request, collection)
        fill_pairs(request.properties, properties)
        require(await self._tell("BroadcastAlteredCollection", request, Status))

    async def gc_confirm(self, collection_id: int, partition_id: int = WHOLE_COLLECTION) -> bool:
        """Whether etcd holds no segment any more of a collection, or of one partition."""
        request = GcConfirmRequest(collection_id=collection_id, partition_id=partition_id)
        reply = await self._ask("GcConfirm", request, GcConfirmResponse)
        require(reply.status, "gc is not finished")
        return reply.gc_finished

    async def import_(self, order: ImportOrder) -> int:
        """Have a datanode take the task; its server id.

        A CallError with `unseen` False leaves open whether one has taken it.
        """
        task = ImportTask(
            collection_id=order.collection_id,
            partition_id=order.partition_id,
            channel_names=list(order.virtual_channels),
            task_id=order.task_id,
            files=list(order.files),
            infos=[KeyValuePair(key=key, value=value) for key, value in order.infos],
            database_name=order.database_name,
        )
        reply = await self._active.call(
            "Import",
            ImportTaskRequest(import_task=task, working_nodes=list(order.busy_nodes)),
            ImportTaskResponse,
            timeout_s=self._ask_timeout_s,
            repeatable=False,
        )
        require(reply.status)
        return reply.datanode_id

    async def flush(self, collection_id: int, segment_ids: Sequence[int]) -> None:
        """Seal the segments of an import, to be flushed then."""
        request = FlushRequest(
            base=self._base(MsgType.Flush),
            segment_i_ds=list(segment_ids),
            collection_id=collection_id,
            is_import=True,
        )
        reply = await self._tell("Flush", request, FlushResponse)
        require(reply.status)

    async def segment_states(self, segment_ids: Sequence[int]) -> tuple[int, ...]:
        """The `milvus.proto.common.SegmentState` of each segment, in the order asked."""
        request = GetSegmentStatesRequest(
            base=self._base(MsgType.GetSegmentState), segment_i_ds=list(segment_ids)
        )
        reply = await self._ask("GetSegmentStates", request, GetSegmentStatesResponse)
        require(reply.status)
        return tuple(int(each.state) for each in reply.states)

    async def unset_importing(self, segment_ids: Sequence[int]) -> None:
        """Let the segments of an import be seen like all others."""
        request = UnsetIsImportingStateRequest(
            base=self._base(MsgType.Undefined), segment_ids=list(segment_ids)
        )
        require(await self._tell("UnsetIsImportingState", request, Status))


def _describe(request: Any, collection: Collection) -> None:
    """Start positions and schema, the latter without its dynamic flag, as Go sends it."""
    for start in collection.start_positions:
        request.start_positions.add(key=start.channel, data=start.position)
    schema = request.schema
    schema.name, schema.description = collection.name, collection.description
    schema.autoID = collection.auto_id
    for field in collection.fields:
        schema.fields.add().MergeFromString(_field(field))


@lru_cache(4096)
def _field(field: Field) -> bytes:
    """The bytes of a FieldSchema; collections are many, and their fields alike."""
    message: Any = message_class(_FIELD)()
    fill_field(message, field)
    data: bytes = message.SerializeToString()
    return data
