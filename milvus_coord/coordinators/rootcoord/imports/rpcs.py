"""RPCs about imports of files."""

from __future__ import annotations

from milvus_coord.coordinators.rootcoord.imports.rules import (
    ImportJob,
    ImportReport,
    ImportTask,
    partition_wanted,
    shown_infos,
)
from milvus_coord.coordinators.rootcoord.imports.work import Imports
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.model.errors import NotFound, Refused
from milvus_coord.pb.milvus.proto import milvus
from milvus_coord.pb.milvus.proto.common import ErrorCode, ImportState, KeyValuePair, Status
from milvus_coord.role.metadata.store import MetadataStore
from milvus_coord.role.rpcs.answers import answers
from milvus_coord.role.rpcs.family import Answering, StateRpcs
from milvus_coord.wire.requests import UpbRequest
from milvus_coord.wire.schema import pairs_of
from milvus_coord.wire.status import fail, ok


class ImportRpcs(StateRpcs[MetaState]):
    """Where Go 2.2.16 fails the call itself, for an unknown collection, we answer a status.

    `default_partition` is `common.defaultPartitionName`.
    """

    def __init__(
        self,
        answering: Answering,
        store: MetadataStore[MetaState],
        tasks: Imports,
        default_partition: str,
    ) -> None:
        super().__init__(answering, store)
        self._tasks, self._default_partition = tasks, default_partition

    @answers()
    async def import_(self, request: UpbRequest) -> milvus.ImportResponse:
        state = self.state()
        collection = state.resolve(request.db_name, request.collection_name)
        options = pairs_of(request.options)
        name = partition_wanted(
            collection, request.partition_name, options, self._default_partition
        )
        partition = None if name is None else state.partition(collection.id, name)
        if name is not None and partition is None:
            raise NotFound(
                f"partition ID not found for partition name '{name}' "
                f"in collection '{collection.name}'"
            )
        job = ImportJob(
            collection_id=collection.id,
            # Go looks both names up by both ids, and finds neither without a partition.
            collection_name=collection.name if partition else "",
            partition_id=partition.id if partition else 0,
            partition_name=partition.name if partition else "",
            virtual_channels=collection.virtual_channels,
            files=tuple(request.files),
            options=options,
            database_name=request.db_name,
        )
        return milvus.ImportResponse(status=ok(), tasks=[await (await self._known()).submit(job)])

    @answers()
    async def get_import_state(self, request: UpbRequest) -> milvus.GetImportStateResponse:
        self.state()
        task = (await self._known()).task(request.task)
        if task is None:
            raise NotFound("import task id doesn't exist")
        return _shown(task)

    @answers()
    async def list_import_tasks(self, request: UpbRequest) -> milvus.ListImportTasksResponse:
        state, name, collection_id = self.state(), request.collection_name, None
        if name:
            try:
                collection_id = state.resolve(request.db_name, name).id
            except NotFound as error:
                text = f"failed to find collection ID from its name: '{name}', error: {error}"
                return milvus.ListImportTasksResponse(
                    status=fail(ErrorCode.IllegalCollectionName, text)
                )
        found = (await self._known()).tasks(collection_id, request.limit)
        return milvus.ListImportTasksResponse(status=ok(), tasks=[_shown(task) for task in found])

    @answers()
    async def report_import(self, request: UpbRequest) -> Status:
        self.state()
        report = ImportReport(
            task_id=request.task_id,
            datanode_id=request.datanode_id,
            state=int(request.state),
            segments=tuple(request.segments),
            row_ids=tuple(request.auto_ids),
            row_count=request.row_count,
            infos=pairs_of(request.infos),
        )
        try:
            await (await self._known()).report(report)
        except Refused as error:
            return fail(ErrorCode.UpdateImportTaskFailure, str(error))
        return ok()

    async def _known(self) -> Imports:
        """The tasks, once those of earlier terms are read."""
        await self._tasks.recovered.wait()
        return self._tasks


def _shown(task: ImportTask) -> milvus.GetImportStateResponse:
    return milvus.GetImportStateResponse(
        status=ok(),
        state=ImportState.try_value(int(task.state)),
        row_count=task.row_count,
        id_list=list(task.row_ids),
        infos=[KeyValuePair(key=key, value=value) for key, value in shown_infos(task)],
        id=task.id,
        collection_id=task.collection_id,
        segment_ids=list(task.segments),
        create_ts=task.created_s,
    )
