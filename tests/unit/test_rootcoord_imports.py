"""Imports from the request to the last record, with trouble in etcd and in datacoord."""

from __future__ import annotations

import asyncio

import pytest

from milvus_coord.clients.errors import CallError
from milvus_coord.coordinators.rootcoord.imports.rules import ImportState
from milvus_coord.coordinators.rootcoord.imports.work import Imports
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import FencedOff, NotServing, Refused
from milvus_coord.runtime.loop import run_loops
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.taskgroup import TaskGroup
from testing.imports import ImportBench, job, lost, report

PENDING, FAILED, STARTED = ImportState.PENDING, ImportState.FAILED, ImportState.STARTED
PERSISTED, COMPLETED = ImportState.PERSISTED, ImportState.COMPLETED
CLEANED = ImportState.FAILED_AND_CLEANED


@pytest.fixture
def bench() -> ImportBench:
    return ImportBench()


async def test_from_the_request_to_the_rows(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    task_id = await imports.submit(job("a.npy", "b.npy"))
    assert await bench.states() == [PENDING]
    await imports.send_pending()
    (order,) = bench.datacoord.orders
    assert (order.task_id, order.collection_id, order.partition_id) == (task_id, 10, 100)
    assert order.virtual_channels == ("v0", "v1")
    assert order.files == ("a.npy", "b.npy")
    assert (order.infos, order.database_name) == ((("bucket", "there"),), "db")
    assert order.busy_nodes == ()
    await imports.report(report(task_id, STARTED, 71))
    await imports.report(report(task_id, STARTED, 72))
    await imports.report(report(task_id, PERSISTED, 71, 72, row_count=9, row_ids=(1, 10)))
    assert bench.datacoord.flushed == []
    await imports.flip_persisted()
    assert bench.datacoord.flushed == [(71, 72)]
    assert bench.datacoord.visible == {71, 72}
    (task,) = (await bench.tasks()).values()
    assert (task.state, task.row_count, task.row_ids) == (COMPLETED, 9, (1, 10))
    assert task.infos == (("bucket", "there"), ("progress_percent", "100"))
    assert task.database_name == "db", "which Go loses"
    assert imports.task(task_id) == task


async def test_a_busy_datanode_gets_no_second_task(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    ids = [await imports.submit(job()) for _ in range(3)]
    await imports.send_pending()
    assert bench.datacoord.taken == [(ids[0], 1), (ids[1], 2)]
    assert [order.busy_nodes for order in bench.datacoord.orders] == [(), (1,), (1, 2)]
    assert await bench.states() == [STARTED, STARTED, PENDING]
    await imports.report(report(ids[0], FAILED, infos=(("failed_reason", "no file"),)))
    await imports.send_pending()
    assert bench.datacoord.taken[-1] == (ids[2], 1)
    first = imports.task(ids[0])
    assert first is not None
    assert first.error == "no file"


async def test_nobody_takes_it_yet(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    await imports.submit(job())
    bench.datacoord.failures = [CallError("datacoord Import: no datacoord", unseen=True)]
    await imports.send_pending()
    assert await bench.states() == [PENDING]
    await imports.send_pending()
    assert await bench.states() == [STARTED]


async def test_whoever_may_have_been_taken_is_not_sent_again(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    task_id = await imports.submit(job())
    bench.datacoord.failures = [lost()]
    await imports.send_pending()
    await imports.send_pending()
    assert len(bench.datacoord.orders) == 1
    task = imports.task(task_id)
    assert task is not None
    assert task.state is FAILED
    assert task.error.startswith("datacoord did not say whether it took the task: ")
    with pytest.raises(Refused, match="already failed"):
        await imports.report(report(task_id, STARTED, 71))


async def test_what_datacoord_said_is_remembered_until_it_is_stored(bench: ImportBench) -> None:
    link = bench.etcd.peer()
    imports = await bench.begin_term(link)
    task_id = await imports.submit(job())
    link.fail_next("txn", Unavailable("away", sent=True))
    with pytest.raises(Unavailable):
        await imports.send_pending()
    assert await bench.states() == [PENDING]
    await imports.send_pending()
    assert len(bench.datacoord.orders) == 1
    task = imports.task(task_id)
    assert task is not None
    assert (task.state, task.datanode_id) == (STARTED, 1)


async def test_a_report_that_is_faster_than_datacoords_answer_waits_for_it(
    bench: ImportBench,
) -> None:
    imports = await bench.begin_term()
    task_id = await imports.submit(job())
    reports: list[asyncio.Task[None]] = []

    def too_fast() -> None:
        if bench.datacoord.taken and not reports:
            reports.append(
                asyncio.create_task(imports.report(report(task_id, STARTED, 71)), name="report")
            )

    bench.datacoord.step = too_fast
    await imports.send_pending()
    await reports[0]
    task = imports.task(task_id)
    assert task is not None
    assert (task.state, task.segments) == (STARTED, (71,))


async def test_segments_that_are_not_flushed_yet_are_waited_for(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    task_id = await imports.submit(job())
    await imports.send_pending()
    await imports.report(report(task_id, PERSISTED, 71))
    bench.datacoord.failures = [CallError("datacoord Flush: away")]
    await imports.flip_persisted()
    assert await bench.states() == [PERSISTED]
    bench.datacoord.failures = []
    await imports.flip_persisted()
    assert await bench.states() == [COMPLETED]
    assert bench.datacoord.flushed == [(71,)]


async def test_segments_stay_hidden_until_datacoord_has_shown_them(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    task_id = await imports.submit(job())
    await imports.send_pending()
    await imports.report(report(task_id, PERSISTED, 71))
    calls: list[str] = []

    def third_fails() -> None:
        calls.append("step")
        if len(calls) == 4:  # flush begins and ends, states, then the showing
            raise CallError("datacoord UnsetIsImportingState: away")

    bench.datacoord.step = third_fails
    await imports.flip_persisted()
    assert await bench.states() == [PERSISTED], "Go would call it Completed"
    await imports.flip_persisted()
    assert await bench.states() == [COMPLETED]
    assert bench.datacoord.visible == {71}


async def test_segments_that_are_gone_fail_the_task(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    task_id = await imports.submit(job())
    await imports.send_pending()
    await imports.report(report(task_id, PERSISTED, 71))
    bench.datacoord.failures = [CallError("datacoord Flush: away")]
    await imports.flip_persisted()
    bench.datacoord.flushes_to = 6
    await imports.flip_persisted()
    task = imports.task(task_id)
    assert task is not None
    assert (task.state, task.error) == (FAILED, "the import task failed")
    assert bench.datacoord.visible == set()


async def test_an_import_without_rows_asks_nobody(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    task_id = await imports.submit(job())
    await imports.send_pending()
    await imports.report(report(task_id, PERSISTED))
    await imports.flip_persisted()
    assert await bench.states() == [COMPLETED]
    assert bench.datacoord.flushed == [], "without segments it would flush the whole collection"


async def test_old_tasks_time_out_are_put_away_and_deleted(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    for _ in range(3):
        await imports.submit(job())
    await imports.send_pending()
    bench.clock.advance(899)
    await imports.clean_up()
    assert await bench.states() == [STARTED, STARTED, PENDING]
    bench.clock.advance(1)
    await imports.clean_up()
    assert await bench.states() == [FAILED, FAILED, PENDING]
    await imports.clean_up()
    assert await bench.states() == [CLEANED, CLEANED, PENDING]
    bench.clock.advance(86400)
    await imports.clean_up()
    assert await bench.states() == [PENDING]
    assert len(imports.tasks(None, 0)) == 1


async def test_lists_are_by_age_and_keep_the_newest(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    ids = [await imports.submit(job(collection_id=10 + n % 2)) for n in range(4)]
    assert [task.id for task in imports.tasks(None, 0)] == ids
    assert [task.id for task in imports.tasks(None, 3)] == ids[1:]
    assert [task.id for task in imports.tasks(11, -1)] == [ids[1], ids[3]]
    assert [task.id for task in imports.tasks(11, 1)] == [ids[3]]


async def test_the_queue_is_bounded_also_for_many_at_once() -> None:
    bench = ImportBench(max_pending=3)
    imports = await bench.begin_term()
    outcomes = await asyncio.gather(
        *(imports.submit(job()) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(each, int) for each in outcomes) == 3
    assert sum(isinstance(each, Refused) for each in outcomes) == 2


async def test_a_write_whose_outcome_is_unknown_is_looked_up(bench: ImportBench) -> None:
    link = bench.etcd.peer()
    imports = await bench.begin_term(link)
    link.fail_next("txn", Unavailable("no answer", sent=True), applied=True)
    with pytest.raises(Unavailable):
        await imports.submit(job())
    assert imports.tasks(None, 0) == []
    await imports.send_pending()
    assert await bench.states() == [STARTED], "it was stored, and so it takes its course"


async def test_a_key_that_changed_under_us_is_read_again(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    task_id = await imports.submit(job())
    key = bench.catalog.key(task_id)
    found = (await bench.etcd.get(key)).kv
    assert found is not None
    await bench.etcd.txn(Txn((), (put(key, found.value),)))  # a late write of ours
    await imports.send_pending()
    assert await bench.states() == [STARTED]


async def test_damaged_records_are_left_alone(bench: ImportBench) -> None:
    key = bench.catalog.key(5)
    await bench.etcd.txn(Txn((), (put(key, b"\xff"),)))
    imports = await bench.begin_term()
    assert imports.tasks(None, 0) == []
    found = (await bench.etcd.get(key)).kv
    assert found is not None
    assert found.value == b"\xff"


async def test_a_deposed_leader_changes_nothing(bench: ImportBench) -> None:
    old = await bench.begin_term()
    task_id = await old.submit(job())
    await old.send_pending()
    await bench.begin_term(recover=False)
    for attempt in (old.submit(job()), old.report(report(task_id, PERSISTED, 71))):
        with pytest.raises(FencedOff):
            await attempt
    assert await bench.states() == [STARTED]


async def test_without_the_serve_lease_nobody_is_told_anything(bench: ImportBench) -> None:
    bench.serve = ServeLease(bench.clock, 1.0, bench.clock.boottime())
    imports = await bench.begin_term()
    await imports.submit(job())
    bench.clock.advance(2)
    with pytest.raises(NotServing):
        await imports.send_pending()
    assert bench.datacoord.orders == []


async def _turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def run(imports: Imports, bench: ImportBench) -> None:
    async with TaskGroup() as tasks:
        run_loops(tasks, imports.loops(), bench.clock)


async def test_the_loops_do_all_that(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    running = asyncio.create_task(run(imports, bench), name="imports")
    try:
        await _turns()
        bench.datacoord.failures = [CallError("nobody", unseen=True)]
        task_id = await imports.submit(job())
        await _turns()
        assert await bench.states() == [PENDING]
        bench.clock.advance(60)
        await _turns()
        assert await bench.states() == [STARTED]
        bench.datacoord.failures = [CallError("datacoord Flush: away")]
        await imports.report(report(task_id, PERSISTED, 71))
        await _turns()
        assert await bench.states() == [PERSISTED]
        bench.clock.advance(2)
        await _turns()
        assert await bench.states() == [COMPLETED]
        bench.clock.advance(86400)
        await _turns()
        assert await bench.states() == []
    finally:
        await cancel_and_wait(running)


async def test_trouble_in_etcd_is_waited_out_by_the_loops(bench: ImportBench) -> None:
    link = bench.etcd.peer()
    imports = await bench.begin_term(link)
    await imports.submit(job())
    link.fail_next("txn", Unavailable("away", sent=False), times=2)
    running = asyncio.create_task(run(imports, bench), name="imports")
    try:
        for _ in range(4):
            await _turns()
            bench.clock.advance(1)
        assert await bench.states() == [STARTED]
        assert len(bench.datacoord.orders) == 1
    finally:
        await cancel_and_wait(running)


async def test_the_loops_end_with_the_term(bench: ImportBench) -> None:
    imports = await bench.begin_term()
    await imports.submit(job())
    await bench.begin_term(recover=False)
    with pytest.RaisesGroup(FencedOff):
        await run(imports, bench)
