"""The leader dies at every single step of three imports; the next one carries on."""

from __future__ import annotations

from typing import Any

import pytest

from milvus_coord.coordinators.rootcoord.imports.rules import FAILURES, ImportState
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.model.errors import Refused
from testing.imports import ImportBench, job, report

STEPS = 34


class Killed(BaseException):
    """The process is gone: nothing in it goes on."""


class Fuse:
    """Burns through at the `at`-th step, and at every one after it."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    def __call__(self) -> None:
        self.steps += 1
        if self.steps >= self.at:
            raise Killed


class DoomedLink:
    """A link to etcd; each transaction is a step before and after it is applied."""

    def __init__(self, etcd: MemoryEtcd, fuse: Fuse) -> None:
        self._etcd, self._fuse = etcd, fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._etcd, name)

    async def txn(self, *args: Any, **how: Any) -> Any:
        self._fuse()
        result = await self._etcd.txn(*args, **how)
        self._fuse()
        return result


class Script:
    """Three jobs for two datanodes: one completes, one fails, one waits. Remembers what it saw."""

    def __init__(self, bench: ImportBench) -> None:
        self._bench = bench
        self.accepted: list[int] = []
        self.completed: set[int] = set()

    async def run(self, link: Any) -> None:
        bench = self._bench
        imports = await bench.begin_term(link)
        for _ in range(3):
            self.accepted.append(await imports.submit(job()))
        await imports.send_pending()
        first, second, _ = self.accepted
        await imports.report(report(first, ImportState.STARTED, 71))
        failing = (("failed_reason", "no file"),)
        await imports.report(report(second, ImportState.FAILED, node=2, infos=failing))
        await imports.report(report(first, ImportState.PERSISTED, 71))
        await imports.flip_persisted()
        self.completed.add(first)
        bench.clock.advance(100)
        await imports.clean_up()
        await imports.send_pending()


async def _killed_at(step: int) -> tuple[ImportBench, Script, Fuse]:
    bench, fuse = ImportBench(), Fuse(step)
    bench.datacoord.step = fuse
    script = Script(bench)
    try:
        await script.run(DoomedLink(bench.etcd.peer(), fuse))
    except Killed:
        pass
    else:
        fuse.at = 0  # survived
    bench.datacoord.step = lambda: None
    return bench, script, fuse


async def _steps() -> int:
    _, _, fuse = await _killed_at(10**9)
    return fuse.steps


async def test_these_are_all_steps() -> None:
    _, script, fuse = await _killed_at(10**9)
    assert fuse.steps == STEPS
    assert script.completed


@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_the_next_leader_carries_on(step: int) -> None:
    bench, script, fuse = await _killed_at(step)
    assert fuse.at == step, "the leader should have died"
    before = await bench.tasks()
    imports = await bench.begin_term()
    after = await bench.tasks()

    assert set(script.accepted) <= set(before), "a task that was promised is lost"
    assert after.keys() == before.keys()
    for task_id, task in after.items():
        was = before[task_id]
        assert not task.working
        if was.working:
            assert task.state is ImportState.FAILED
            assert task.error.endswith("task marked failed as service restarted")
        else:
            assert task == was
    assert all(after[task_id].state is ImportState.COMPLETED for task_id in script.completed)

    shown = set(bench.datacoord.visible)
    for task_id, node in list(bench.datacoord.taken):  # datanodes that know of no new leader
        with pytest.raises(Refused):
            await imports.report(report(task_id, ImportState.FAILED, node=node + 10))
        now = imports.task(task_id)
        assert now is not None
        assert now.state in FAILURES | {ImportState.PENDING, ImportState.COMPLETED}
    assert bench.datacoord.visible == shown

    for _ in range(4):  # what waits is done in the end, once each
        await imports.send_pending()
        for task in imports.tasks(None, 0):
            if task.working:
                done = report(task.id, ImportState.PERSISTED, 900 + task.id, node=task.datanode_id)
                await imports.report(done)
        await imports.flip_persisted()
        await imports.clean_up()
    final = ImportState.COMPLETED, ImportState.FAILED_AND_CLEANED
    assert all(task.state in final for task in imports.tasks(None, 0))
    waited = [task_id for task_id, task in after.items() if task.state is ImportState.PENDING]
    for task_id in waited:
        now = imports.task(task_id)
        assert now is not None
        assert now.state is ImportState.COMPLETED
        assert 900 + task_id in bench.datacoord.visible
