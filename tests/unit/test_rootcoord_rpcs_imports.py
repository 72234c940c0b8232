"""Import, GetImportState, ListImportTasks, ReportImport as bytes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from milvus_coord.coordinators.rootcoord.imports.rpcs import ImportRpcs
from milvus_coord.coordinators.rootcoord.imports.work import Imports
from milvus_coord.coordinators.rootcoord.metadata import events
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.model.errors import NotServing
from milvus_coord.model.schema import Field
from milvus_coord.model.states import Phase
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.taskgroup import TaskGroup
from testing.ddl_rpcs import DdlBench, collection
from testing.imports import ImportBench, job

PENDING, STARTED, PERSISTED, COMPLETED = 0, 2, 5, 6


class Bench(DdlBench):
    """With a collection `keyed` (20) that has a partition key."""

    def __init__(self, imports: Imports, below: ImportBench) -> None:
        super().__init__()
        self.imports, self.below = imports, below
        family = ImportRpcs(self.answering, cast(Store, self), imports, "_default")
        self.methods.update(family.__mapping__())
        self.served = {path.rpartition("/")[2] for path in family.__mapping__()}
        self.put_collection(collection(20, "keyed"), "_default_0")
        self.put(events.FieldPut(20, Field(102, "k", 5, is_partition_key=True)))


@pytest.fixture
async def bench() -> Bench:
    below = ImportBench()
    return Bench(await below.begin_term(), below)


async def test_nothing_is_said_before_the_tasks_of_earlier_terms_are_read() -> None:
    below = ImportBench()
    task_id = await (await below.begin_term()).submit(job())
    bench = Bench(await below.begin_term(recover=False), below)
    asking = [
        asyncio.create_task(bench.call("GetImportState", task=task_id)),
        asyncio.create_task(bench.call("ListImportTasks", limit=9)),
    ]
    async with TaskGroup() as tasks:
        loops = [
            tasks.create_task(each.run(below.clock), name=each.name)
            for each in bench.imports.loops()
        ]
        for _ in range(50):
            await asyncio.sleep(0)
        assert not any(each.done() for each in asking)
        assert not below.datacoord.orders
        await bench.imports.recover()
        state, listed = await asyncio.gather(*asking)
        assert (state.id, [each.id for each in listed.tasks]) == (task_id, [task_id])
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(below.datacoord.orders) == 1
        await cancel_and_wait(*loops)


def _pairs(reply: Any) -> list[tuple[str, str]]:
    return [(each.key, each.value) for each in reply.infos]


def test_these_are_all(bench: Bench) -> None:
    assert bench.served == {"Import", "GetImportState", "ListImportTasks", "ReportImport"}


async def test_a_job_becomes_a_task_that_can_be_followed(bench: Bench) -> None:
    reply = await bench.call(
        "Import",
        collection_name="tomes",
        partition_name="old",
        files=["x/a.npy", "x/b.npy"],
        options=[{"key": "start_ts", "value": "5"}],
    )
    assert reply.status.error_code == 0
    (task_id,) = reply.tasks
    state = await bench.call("GetImportState", task=task_id)
    assert (state.status.error_code, state.id, state.state) == (0, task_id, PENDING)
    assert (state.collection_id, state.create_ts) == (10, bench.below.clock.wall_ns() // 10**9)
    assert _pairs(state) == [
        ("files", "x/a.npy,x/b.npy"),
        ("collection", "books"),
        ("partition", "old"),
        ("failed_reason", ""),
        ("start_ts", "5"),
    ]
    await bench.imports.send_pending()
    (order,) = bench.below.datacoord.orders
    books = bench.state.by_id(10)
    assert (order.partition_id, order.virtual_channels) == (10001, books.virtual_channels)
    told = {"task_id": task_id, "datanode_id": 1, "state": PERSISTED, "segments": [71]}
    status = await bench.call("ReportImport", **told, auto_ids=[1, 10], row_count=9)
    assert status.error_code == 0
    await bench.imports.flip_persisted()
    state = await bench.call("GetImportState", task=task_id)
    assert (state.state, state.row_count) == (COMPLETED, 9)
    assert (list(state.id_list), list(state.segment_ids)) == ([1, 10], [71])
    assert _pairs(state)[-1] == ("progress_percent", "100")


async def test_without_a_partition_it_is_the_default_one(bench: Bench) -> None:
    await bench.call("Import", collection_name="books", files=["a.json"])
    (task,) = bench.imports.tasks(None, 0)
    assert (task.partition_id, task.partition_name) == (10000, "_default")


async def test_a_partition_key_decides_for_itself(bench: Bench) -> None:
    await bench.call("Import", collection_name="keyed", files=["a.json"])
    (task,) = bench.imports.tasks(None, 0)
    assert (task.partition_id, task.partition_name, task.collection_name) == (0, "", "")
    backup = [{"key": "backup", "value": "TRUE"}]
    await bench.call(
        "Import",
        collection_name="keyed",
        partition_name="_default_0",
        files=["a.json"],
        options=backup,
    )
    assert bench.imports.tasks(None, 1)[0].partition_id == 20000


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (
            {"collection_name": "nothing"},
            1,
            "code: CollectionNotExists, reason: can't find collection default:nothing",
        ),
        ({"collection_name": "books"}, 1, "import request is empty"),
        (
            {"collection_name": "books", "partition_name": "gone", "files": ["a.json"]},
            1,
            "partition ID not found for partition name 'gone' in collection 'books'",
        ),
        (
            {"collection_name": "keyed", "partition_name": "p", "files": ["a.json"]},
            1,
            "not allow to set partition name for collection with partition key",
        ),
        (
            {"collection_name": "books", "options": [{"key": "backup", "value": "true"}]},
            1,
            "partition name not specified when backup",
        ),
        (
            {"collection_name": "books", "files": ["a.json", "b.json"]},
            1,
            "row-based import, only allow one JSON file each time",
        ),
    ],
)
async def test_refusals_are_statuses(
    bench: Bench, request_: dict[str, Any], code: int, reason: str
) -> None:
    reply = await bench.call("Import", **request_)
    assert reply.status.error_code == code
    assert reply.status.reason == reason
    assert list(reply.tasks) == []
    assert bench.imports.tasks(None, 0) == []


async def test_unknown_tasks(bench: Bench) -> None:
    state = await bench.call("GetImportState", task=5)
    assert (state.status.error_code, state.status.reason) == (1, "import task id doesn't exist")
    status = await bench.call("ReportImport", task_id=5, state=STARTED)
    assert status.error_code == 27
    assert status.reason == "failed to update import task, ID not found: 5"


async def test_lists(bench: Bench) -> None:
    for name in ("books", "keyed", "books"):
        await bench.call("Import", collection_name=name, files=["a.json"])
    every = await bench.call("ListImportTasks")
    assert [task.collection_id for task in every.tasks] == [10, 20, 10]
    assert all(task.HasField("status") for task in every.tasks)
    books = await bench.call("ListImportTasks", collection_name="tomes", limit=1)
    assert [task.id for task in books.tasks] == [every.tasks[2].id]
    unknown = await bench.call("ListImportTasks", collection_name="nothing")
    assert unknown.status.error_code == 9
    assert unknown.status.reason.startswith(
        "failed to find collection ID from its name: 'nothing', error: "
    )


async def test_not_while_we_activate_and_not_without_the_serve_lease(bench: Bench) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("Import", {"collection_name": "books", "files": ["a.json"]}),
        ("GetImportState", {"task": 1}),
        ("ListImportTasks", {}),
        ("ReportImport", {"task_id": 1, "state": STARTED}),
    ]
    bench.clock.advance(100)
    for rpc, fields in calls:
        with pytest.raises(NotServing):
            await bench.call(rpc, **fields)
    bench.lifecycle.to(Phase.STEPPING_DOWN)
    for rpc, fields in calls:
        reply = await bench.call(rpc, **fields)
        assert (reply if rpc == "ReportImport" else reply.status).error_code == 56
    assert bench.imports.tasks(None, 0) == []
