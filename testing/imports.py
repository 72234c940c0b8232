"""Imports over the in-memory etcd and a datacoord that does as it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from milvus_coord.clients.datacoord import ImportOrder
from milvus_coord.clients.errors import CallError, CallRefused
from milvus_coord.coordinators.rootcoord.imports.catalog import ImportCatalog
from milvus_coord.coordinators.rootcoord.imports.rules import (
    ImportJob,
    ImportReport,
    ImportState,
    ImportTask,
    SegmentState,
)
from milvus_coord.coordinators.rootcoord.imports.work import Imports
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.role.metadata.keyed import KeyedStore
from testing.limits import IMPORT_SETTINGS
from testing.role_world import FOREVER_S, Stage

FLUSHED = 4


def job(*files: str, collection_id: int = 10) -> ImportJob:
    """A job for one partition."""
    return ImportJob(
        collection_id=collection_id,
        collection_name="books",
        partition_id=100,
        partition_name="_default",
        virtual_channels=("v0", "v1"),
        files=files or ("a.npy", "b.npy"),
        options=(("bucket", "there"),),
        database_name="db",
    )


class FakeDataCoord:
    """Gives each task to the first free of its nodes; `failures` are raised first, in order.

    `step` is called before and after everything that it does.
    """

    def __init__(self, nodes: Sequence[int] = (1, 2)) -> None:
        self.nodes = tuple(nodes)
        self.orders: list[ImportOrder] = []
        self.taken: list[tuple[int, int]] = []
        self.flushed: list[tuple[int, ...]] = []
        self.visible: set[int] = set()
        self.states: dict[int, int] = {}
        self.flushes_to = FLUSHED
        self.failures: list[Exception] = []
        self.step: Callable[[], None] = lambda: None

    async def import_(self, order: ImportOrder) -> int:
        self.orders.append(order)
        self._begin()
        free = [node for node in self.nodes if node not in order.busy_nodes]
        if not free:
            raise CallRefused("all datanodes are busy", 1)
        self.taken.append((order.task_id, free[0]))
        self.step()
        return free[0]

    async def flush(self, collection_id: int, segment_ids: Sequence[int]) -> None:
        self._begin()
        self.flushed.append(tuple(segment_ids))
        self.states.update(dict.fromkeys(segment_ids, self.flushes_to))
        self.step()

    async def segment_states(self, segment_ids: Sequence[int]) -> tuple[int, ...]:
        self._begin()
        return tuple(self.states.get(each, SegmentState.IMPORTING) for each in segment_ids)

    async def unset_importing(self, segment_ids: Sequence[int]) -> None:
        self._begin()
        self.visible.update(segment_ids)
        self.step()

    def _begin(self) -> None:
        self.step()
        if self.failures:
            raise self.failures.pop(0)


class Ids:
    """Counts."""

    def __init__(self) -> None:
        self._next = itertools.count(1001)

    async def take(self, count: int) -> int:
        assert count == 1
        return next(self._next)


class ImportBench(Stage):
    """What outlives a term; `begin_term` begins one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.catalog = ImportCatalog("by-dev/kv")
        self.datacoord = FakeDataCoord()
        self.ids = Ids()
        self.settings = replace(IMPORT_SETTINGS, **settings)
        self.serve = ServeLease(self.clock, FOREVER_S, self.clock.boottime())
        self.store: KeyedStore[int, ImportTask]

    async def begin_term(self, etcd: Etcd | None = None, *, recover: bool = True) -> Imports:
        """A new leader; writes of the one before it are fenced off. `etcd` is its link."""
        link = etcd or self.etcd.peer()
        epoch = await self.put(self.keys.active, b"{}")
        fence = Fence(link, self.keys.active, 0, epoch)
        self.store = KeyedStore(link, fence, self.catalog)
        imports = Imports(
            store=self.store,
            datacoord=cast(Any, self.datacoord),
            ids=self.ids,
            serve=self.serve,
            clock=self.clock,
            settings=self.settings,
        )
        if recover:
            await imports.recover()
        return imports

    async def tasks(self) -> dict[int, ImportTask]:
        """What etcd has."""
        found = await self.etcd.range(self.catalog.prefix)
        return dict(self.catalog.decode(kv.key, kv.value) for kv in found.kvs)

    async def states(self) -> list[ImportState]:
        """Of all stored tasks, by id."""
        return [task.state for _, task in sorted((await self.tasks()).items())]


def report(task_id: int, state: ImportState, *segments: int, node: int = 1, **more: Any) -> Any:
    """What a datanode says."""
    return ImportReport(task_id, node, state, segments, **more)


def lost() -> CallError:
    """The connection broke in mid-call."""
    return CallError("datacoord Import: connection lost")
