"""Import tasks in etcd: `<kv>/importtask/<id>` holds one `milvus.proto.data.ImportTaskInfo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from milvus_coord.coordinators.rootcoord.imports.rules import ImportState, ImportTask
from milvus_coord.model.errors import BadValue
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.schema import fill_pairs, pairs_of

_TASK: Final = "milvus.proto.data.ImportTaskInfo"


@dataclass(frozen=True, slots=True)
class ImportCatalog:
    """Keys below `kv_root` (`etcd.rootPath/etcd.kvSubPath`); `sub_path` is importTaskSubPath.

    Implements `role.metadata.keyed.RecordCodec`. RootCoord's mirror cannot hold them: the smallest
    range with these and `root-coord/` has nearly all that the other coordinators write.
    """

    kv_root: str
    sub_path: str = "importtask"

    @property
    def kind(self) -> str:
        """In logs."""
        return "import task"

    @property
    def prefix(self) -> bytes:
        """Of all tasks."""
        return f"{self.kv_root}/{self.sub_path}/".encode()

    def key(self, task_id: int) -> bytes:
        """Of one task."""
        return b"%s%d" % (self.prefix, task_id)

    def encode(self, task: ImportTask) -> bytes:
        """The value of a task with all its fields.

        Go 2.2.16 loses the database's name and some old fields when it writes one again.
        """
        return encode(task)

    def decode(self, key: bytes, value: bytes) -> tuple[int, ImportTask]:
        """The task under `key`, and its id. Raises BadValue that names it."""
        task = _decode(key, value)
        if key != self.key(task.id):
            raise BadValue(f"{key.decode(errors='replace')} holds import task {task.id}")
        return task.id, task


def encode(task: ImportTask) -> bytes:
    """The bytes of an ImportTaskInfo."""
    message: Any = message_class(_TASK)(
        id=task.id,
        request_id=task.request_id,
        datanode_id=task.datanode_id,
        collection_id=task.collection_id,
        partition_id=task.partition_id,
        channel_names=task.virtual_channels,
        bucket=task.bucket,
        row_based=task.row_based,
        files=task.files,
        create_ts=task.created_s,
        collection_name=task.collection_name,
        partition_name=task.partition_name,
        start_ts=task.started_s,
        database_name=task.database_name,
    )
    state = message.state
    state.SetInParent()  # Go writes into it without asking whether it is there
    state.stateCode = int(task.state)
    state.segments.extend(task.segments)
    state.row_ids.extend(task.row_ids)
    state.row_count, state.error_message = task.row_count, task.error
    fill_pairs(message.infos, task.infos)
    data: bytes = message.SerializeToString()
    return data


def _decode(key: bytes, value: bytes) -> ImportTask:
    try:
        message: Any = message_class(_TASK).FromString(value)
        state = message.state
        code = ImportState(state.stateCode)
    except (DecodeError, ValueError) as error:
        name = key.decode(errors="replace")
        raise BadValue(f"{name} holds no import task: {value[:200]!r} ({error})") from error
    return ImportTask(
        id=message.id,
        collection_id=message.collection_id,
        partition_id=message.partition_id,
        virtual_channels=tuple(message.channel_names),
        files=tuple(message.files),
        created_s=message.create_ts,
        state=code,
        datanode_id=message.datanode_id,
        started_s=message.start_ts,
        segments=tuple(state.segments),
        row_ids=tuple(state.row_ids),
        row_count=state.row_count,
        error=state.error_message,
        infos=pairs_of(message.infos),
        database_name=message.database_name,
        collection_name=message.collection_name,
        partition_name=message.partition_name,
        request_id=message.request_id,
        bucket=message.bucket,
        row_based=message.row_based,
    )
