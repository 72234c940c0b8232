"""Import tasks: their states, what a request must look like, what each event does to a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from posixpath import basename, splitext
from typing import Final

from milvus_coord.model.collection import Collection
from milvus_coord.model.errors import IllegalMove, Refused
from milvus_coord.model.schema import Pairs

PERSIST_COST: Final = "persist_cost"
PROGRESS: Final = "progress_percent"
FAILED_REASON: Final = "failed_reason"

RESTARTED: Final = "task marked failed as service restarted"
TIMED_OUT: Final = "the import task has timed out"
SEGMENTS_GONE: Final = "the import task failed"

_BACKUP: Final = "backup"
_JSON: Final = ".json"


class ImportState(IntEnum):
    """Numbers of `milvus.proto.common.ImportState`."""

    PENDING = 0
    FAILED = 1
    STARTED = 2
    PERSISTED = 5
    COMPLETED = 6
    FAILED_AND_CLEANED = 7


MOVES: Final[Mapping[ImportState, frozenset[ImportState]]] = {
    ImportState.PENDING: frozenset({ImportState.STARTED, ImportState.FAILED}),
    ImportState.STARTED: frozenset(
        {ImportState.STARTED, ImportState.PERSISTED, ImportState.COMPLETED, ImportState.FAILED}
    ),
    ImportState.PERSISTED: frozenset(
        {ImportState.PERSISTED, ImportState.COMPLETED, ImportState.FAILED}
    ),
    ImportState.FAILED: frozenset({ImportState.FAILED_AND_CLEANED}),
    ImportState.COMPLETED: frozenset(),
    ImportState.FAILED_AND_CLEANED: frozenset(),
}
"""STARTED and PERSISTED lead to themselves: a datanode may report more of the same."""

WORKING: Final = frozenset({ImportState.STARTED, ImportState.PERSISTED})
FAILURES: Final = frozenset({ImportState.FAILED, ImportState.FAILED_AND_CLEANED})


class SegmentState(IntEnum):
    """The numbers of `milvus.proto.common.SegmentState` that matter here."""

    NOT_EXIST = 1
    SEALED = 3
    DROPPED = 6
    IMPORTING = 7


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """`rootCoord.import*`; the intervals are fixed in Go 2.2.16."""

    expiration_s: float
    retention_s: float
    max_pending: int
    sub_path: str
    send_every_s: float = 60.0
    flip_every_s: float = 2.0
    clean_every_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ImportJob:
    """One import that a user asked for.

    `partition_id` is 0 and the name empty where the partition key chooses the partitions.
    """

    collection_id: int
    collection_name: str
    partition_id: int
    partition_name: str
    virtual_channels: tuple[str, ...]
    files: tuple[str, ...]
    options: Pairs
    database_name: str


@dataclass(frozen=True, slots=True)
class ImportTask:
    """All of one `milvus.proto.data.ImportTaskInfo`; times are Unix seconds, 0 for never."""

    id: int
    collection_id: int
    partition_id: int
    virtual_channels: tuple[str, ...]
    files: tuple[str, ...]
    created_s: int
    state: ImportState = ImportState.PENDING
    datanode_id: int = 0
    started_s: int = 0
    segments: tuple[int, ...] = ()
    row_ids: tuple[int, ...] = ()
    row_count: int = 0
    error: str = ""
    infos: Pairs = ()
    database_name: str = ""
    collection_name: str = ""
    partition_name: str = ""
    request_id: int = 0
    bucket: str = ""
    row_based: bool = False

    @property
    def working(self) -> bool:
        """Whether a datanode is busy with it."""
        return self.state in WORKING


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The report of a datanode about its task; `state` is a number of ImportState."""

    task_id: int
    datanode_id: int
    state: int
    segments: tuple[int, ...] = ()
    row_ids: tuple[int, ...] = ()
    row_count: int = 0
    infos: Pairs = ()


def check_files(files: Sequence[str]) -> None:
    """A task has any files that are no JSON, or exactly one JSON. Raises Refused."""
    if not files:
        raise Refused("import request is empty")
    row_based = False
    for file in files:
        extension = splitext(basename(file))[1]
        if extension == _JSON:
            row_based = True
        elif row_based:
            raise Refused(
                f"row-based data file type must be JSON, file type '{extension}' is not allowed"
            )
    if row_based and len(files) > 1:
        raise Refused("row-based import, only allow one JSON file each time")


def check_room(pending: int, pending_max: int) -> None:
    """Raises Refused when one task more is too many."""
    if pending >= pending_max:
        raise Refused(
            f"import task queue max size is {pending_max}, currently there are {pending} tasks "
            "is pending. Not able to execute this request with 1 tasks"
        )


def partition_wanted(
    collection: Collection, partition_name: str, options: Pairs, default: str
) -> str | None:
    """The name of the partition to import into, None for all that a partition key spreads over.

    A backup tool restores one partition after the other. Raises Refused.
    """
    if is_backup(options):
        if not partition_name:
            raise Refused("partition name not specified when backup")
        return partition_name
    if any(field.is_partition_key for field in collection.fields):
        if partition_name:
            raise Refused("not allow to set partition name for collection with partition key")
        return None
    return partition_name or default


def is_backup(options: Pairs) -> bool:
    """Whether a backup tool asks; the first `backup` counts."""
    for key, value in options:
        if key == _BACKUP:
            return value.lower() == "true"
    return False


def with_state(task: ImportTask, state: ImportState) -> ImportTask:
    """The task in another state. Raises IllegalMove."""
    if state not in MOVES[task.state]:
        raise _illegal(task, state)
    return replace(task, state=state)


def started(task: ImportTask, datanode_id: int, now_s: int) -> ImportTask:
    """A datanode has taken the pending task. Raises IllegalMove for any other."""
    if task.state is not ImportState.PENDING:
        raise _illegal(task, ImportState.STARTED)
    return replace(with_state(task, ImportState.STARTED), datanode_id=datanode_id, started_s=now_s)


def failed(task: ImportTask, reason: str) -> ImportTask:
    """It has failed; reasons are joined."""
    error = f"{task.error}; {reason}" if task.error else reason
    return replace(with_state(task, ImportState.FAILED), error=error)


def completed(task: ImportTask) -> ImportTask:
    """Its rows are there for all to see."""
    done = with_state(task, ImportState.COMPLETED)
    return replace(done, infos=merged(done.infos, PROGRESS, "100"))


def cleaned(task: ImportTask) -> ImportTask:
    """Nothing of a failed task is left to be done."""
    return with_state(task, ImportState.FAILED_AND_CLEANED)


# Events of a stored task (None: not there). Each returns the task to store (None: delete it).


def recovered(task: ImportTask | None) -> ImportTask | None:
    """At the begin of a term: what worked has lost its listener, and fails as in Go 2.2.16."""
    return failed(task, RESTARTED) if task and task.working else task


def offered(task: ImportTask | None, answer: int | str, now_s: int) -> ImportTask | None:
    """Datacoord was offered the pending task: a datanode has it, or why that is unknown.

    One of which that is unknown fails: sent again it might be imported twice.
    """
    if task is None or task.state is not ImportState.PENDING:
        return task
    if isinstance(answer, int):
        return started(task, answer, now_s)
    return failed(task, f"datacoord did not say whether it took the task: {answer}")


def flipped(task: ImportTask | None, to: ImportState) -> ImportTask | None:
    """The segments of a Persisted task say that it is Completed, or Failed; see `after_flush`."""
    if task is None or task.state is not ImportState.PERSISTED:
        return task
    return completed(task) if to is ImportState.COMPLETED else failed(task, SEGMENTS_GONE)


def expired(
    task: ImportTask | None, now_s: int, *, expiration_s: float, retention_s: float
) -> ImportTask | None:
    """Time passed: work that takes too long fails, failures are put away, old records go.

    What waits or works is kept, however old.
    """
    if task is None:
        return None
    over = task.state is ImportState.COMPLETED or task.state in FAILURES
    if over and now_s - task.created_s >= retention_s:
        return None
    if task.working and now_s - task.started_s >= expiration_s:
        return failed(task, TIMED_OUT)
    return cleaned(task) if task.state is ImportState.FAILED else task


def reported(task: ImportTask | None, report: ImportReport) -> ImportTask:
    """The task after a report; the same object when the report says nothing new.

    Go 2.2.16 takes every state at any time. We pass over what is late: a task that is Completed
    stays so, and a Persisted one does not become Started again. A second datanode that was given
    the same task, because the first answer got lost, is refused. Raises Refused.
    """
    if task is None or task.state is ImportState.PENDING:
        raise Refused(f"failed to update import task, ID not found: {report.task_id}")
    if task.state in FAILURES:
        raise Refused(f"trying to update an already failed task {task.id}")
    if report.datanode_id and task.datanode_id and report.datanode_id != task.datanode_id:
        raise Refused(
            f"import task {task.id} was given to datanode {task.datanode_id}, "
            f"not to {report.datanode_id}"
        )
    state = _reported_state(report)
    if state not in MOVES[task.state]:
        return task
    segments = report.segments
    if state is ImportState.STARTED:
        segments = tuple(dict.fromkeys((*task.segments, *segments)))
    error, infos = _from_infos(task, report.infos)
    return replace(
        with_state(task, state),
        segments=segments,
        row_ids=report.row_ids,
        row_count=report.row_count,
        error=error,
        infos=infos,
    )


def after_flush(segment_states: Iterable[int]) -> ImportState | None:
    """Where a Persisted task goes, judging by its segments; None: wait.

    A flushed segment may have been compacted away by now, which is fine.
    """
    states = set(segment_states)
    if states & {SegmentState.DROPPED, SegmentState.NOT_EXIST}:
        return ImportState.FAILED
    if states & {SegmentState.IMPORTING, SegmentState.SEALED}:
        return None
    return ImportState.COMPLETED


def merged(infos: Pairs, key: str, value: str) -> Pairs:
    """`infos` with `key` at its old place, or at the end."""
    if any(name == key for name, _ in infos):
        return tuple((name, value if name == key else old) for name, old in infos)
    return (*infos, (key, value))


def shown_infos(task: ImportTask) -> Pairs:
    """The infos that a user is shown, in Go's order."""
    return (
        ("files", ",".join(task.files)),
        ("collection", task.collection_name),
        ("partition", task.partition_name),
        (FAILED_REASON, task.error),
        *task.infos,
    )


def _illegal(task: ImportTask, wanted: ImportState) -> IllegalMove:
    return IllegalMove(f"import task {task.id}", task.state.name, wanted.name)


def _reported_state(report: ImportReport) -> ImportState:
    try:
        state = ImportState(report.state)
    except ValueError:
        state = ImportState.PENDING
    if state in (ImportState.PENDING, ImportState.FAILED_AND_CLEANED):
        raise Refused(f"import task {report.task_id} cannot be reported as state {report.state}")
    return state


def _from_infos(task: ImportTask, pairs: Pairs) -> tuple[str, Pairs]:
    infos = task.infos
    for key, value in pairs:
        if key == FAILED_REASON:
            return value, infos
        if key in (PERSIST_COST, PROGRESS):
            infos = merged(infos, key, value)
    return task.error, infos
