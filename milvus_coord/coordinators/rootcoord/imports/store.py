"""The import tasks of one term: read once, then changed in memory as in etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from milvus_coord.coordinators.rootcoord.imports.catalog import ImportCatalog
from milvus_coord.coordinators.rootcoord.imports.rules import ImportTask
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import mod_revision_is
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.model.errors import BadValue
from milvus_coord.telemetry.log import log

_TRIES: Final = 3
_ABSENT: Final = 0


class ImportStore:
    """What etcd holds of import tasks, and the only way to change it.

    Nobody else writes these keys during our term, so that no watch is needed. Each write asks that
    its key be as we saw it last: one whose answer was lost and that comes late cannot undo what
    was written after it.

    There is no mirror of these keys in a standby: its mark would lie among them, where Go 2.2.16
    reads every key as a task.
    """

    def __init__(self, etcd: Etcd, fence: Fence, catalog: ImportCatalog) -> None:
        self._etcd, self._fence, self._catalog = etcd, fence, catalog
        self._tasks: dict[int, ImportTask] = {}
        self._revisions: dict[int, int] = {}
        self._unsure: set[int] = set()
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Read all tasks. Raises EtcdError; a damaged one is logged, left alone and not seen."""
        found = await self._etcd.range(self._catalog.prefix)
        self._tasks.clear()
        for index, kv in enumerate(found.kvs):
            try:
                self._take(kv)
            except BadValue as error:
                log.warn("ignoring a damaged import task", error=str(error))
            if index % 500 == 499:
                await asyncio.sleep(0)

    def get(self, task_id: int) -> ImportTask | None:
        """One task."""
        return self._tasks.get(task_id)

    def __iter__(self) -> Iterator[ImportTask]:
        """All tasks as of now, by id, which is also by age."""
        return iter([self._tasks[task_id] for task_id in sorted(self._tasks)])

    async def add(self, task: ImportTask) -> None:
        """Store a new task. Raises FencedOff, EtcdError, and ConditionFailed for a known id.

        After an error it may be stored nevertheless; `settle` finds out.
        """
        async with self._writing:
            await self._write(task.id, task, _ABSENT)

    async def change(
        self, task_id: int, decide: Callable[[ImportTask | None], ImportTask | None]
    ) -> ImportTask | None:
        """Replace a task by what `decide` makes of it, or delete it for None; returns the outcome.

        `decide` sees the task as it is stored, may be called again, and what it raises goes to the
        caller. What is equal is not written. Raises FencedOff and EtcdError; what came of the
        write is then looked up before the next one.
        """
        async with self._writing:
            tries_left = _TRIES
            while True:
                await self._look_up(task_id)
                task = self._tasks.get(task_id)
                wanted = decide(task)
                if wanted == task:
                    return task
                try:
                    await self._write(task_id, wanted, self._revisions.get(task_id, _ABSENT))
                except ConditionFailed:
                    tries_left -= 1
                    if not tries_left:
                        raise
                else:
                    return wanted

    async def settle(self) -> None:
        """Look up every task whose last write has no known outcome. Raises EtcdError."""
        async with self._writing:
            for task_id in sorted(self._unsure):
                await self._look_up(task_id)

    async def _write(self, task_id: int, task: ImportTask | None, revision: int) -> None:
        operation = self._catalog.delete(task_id) if task is None else self._catalog.put(task)
        as_seen = mod_revision_is(self._catalog.key(task_id), revision)
        self._unsure.add(task_id)
        result = await self._fence.commit(operation, when=(as_seen,))
        self._unsure.discard(task_id)
        if task is None:
            self._forget(task_id)
        else:
            self._tasks[task_id], self._revisions[task_id] = task, result.revision

    async def _look_up(self, task_id: int) -> None:
        if task_id not in self._unsure:
            return
        key = self._catalog.key(task_id)
        found = (await self._etcd.get(key)).kv
        if found is None:
            self._forget(task_id)
        else:
            self._take(found)
        self._unsure.discard(task_id)

    def _take(self, kv: KeyValue) -> None:
        task = self._catalog.load(kv.key, kv.value)
        self._tasks[task.id], self._revisions[task.id] = task, kv.mod_revision

    def _forget(self, task_id: int) -> None:
        self._tasks.pop(task_id, None)
        self._revisions.pop(task_id, None)
