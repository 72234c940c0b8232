"""Imports of files: tasks wait for a datanode, are followed to their end, and put away."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from milvus_coord.allocator.sources import Ids
from milvus_coord.clients.datacoord import DataCoordClient, ImportOrder
from milvus_coord.clients.errors import CallError
from milvus_coord.coordinators.rootcoord.imports import rules
from milvus_coord.coordinators.rootcoord.imports.rules import (
    ImportJob,
    ImportReport,
    ImportSettings,
    ImportState,
    ImportTask,
)
from milvus_coord.etcd.errors import EtcdError
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import BadValue, NotServing
from milvus_coord.role.metadata.keyed import KeyedStore
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.loop import Loop, Turn
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log

_NS: Final = 1_000_000_000


class Imports:
    """One term's imports. Start `recover` and `loops`; only when it is `recovered`, all is known.

    Tens of thousands of tasks may wait: the term serves while they are read.

    A datanode is busy from when it takes a task until that task has completed or failed: this is
    read off the tasks, where Go 2.2.16 keeps a list of its own.
    """

    def __init__(
        self,
        *,
        store: KeyedStore[int, ImportTask],
        datacoord: DataCoordClient,
        ids: Ids,
        serve: ServeLease,
        clock: Clock,
        settings: ImportSettings,
    ) -> None:
        self._store, self._datacoord, self._ids = store, datacoord, ids
        self._serve, self._clock, self._settings = serve, clock, settings
        self._send_now, self._flip_now = asyncio.Event(), asyncio.Event()
        self.recovered = asyncio.Event()
        self._being_added = 0
        self._offers: dict[int, asyncio.Event] = {}
        self._outcomes: dict[int, int | CallError] = {}
        self._unflushed: set[int] = set()

    async def recover(self) -> None:
        """Read the tasks; those that datanodes worked on have failed. Raises FencedOff."""
        retry = Retry(self._clock, "read the import tasks", on=(EtcdError,), cap_s=1.0)
        await retry.run(self._recover)

    def loops(self) -> tuple[Loop, ...]:
        """Send, follow and put away. Trouble in etcd and damaged records are waited out."""
        settings = self._settings

        def loop(name: str, every_s: float, turn: Turn, wake: asyncio.Event | None = None) -> Loop:
            async def turn_of_known_tasks() -> str | None:
                await self.recovered.wait()
                return await turn()

            return Loop(
                f"rootcoord.imports.{name}",
                every_s,
                turn_of_known_tasks,
                wake=wake,
                on=(EtcdError, NotServing, BadValue),
                purpose=f"{name} import tasks",
            )

        return (
            loop("send", settings.send_every_s, self.send_pending, self._send_now),
            loop("flip", settings.flip_every_s, self.flip_persisted, self._flip_now),
            loop("clean", settings.clean_every_s, self.clean_up),
        )

    async def submit(self, job: ImportJob) -> int:
        """Make a task of a job and return its id; it is sent soon.

        Go 2.2.16 waits for datacoord before it answers. Raises Refused, FencedOff, EtcdError, and
        what the ids raise.
        """
        rules.check_files(job.files)
        rules.check_room(len(self._pending()) + self._being_added, self._settings.max_pending)
        self._being_added += 1
        try:
            task = ImportTask(
                id=await self._ids.take(1),
                collection_id=job.collection_id,
                partition_id=job.partition_id,
                virtual_channels=job.virtual_channels,
                files=job.files,
                created_s=self._now_s(),
                infos=job.options,
                database_name=job.database_name,
                collection_name=job.collection_name,
                partition_name=job.partition_name,
            )
            await self._store.add(task.id, task)
        finally:
            self._being_added -= 1
        log.info("import task created", task=task.id, collection=job.collection_id)
        self._send_now.set()
        return task.id

    async def report(self, report: ImportReport) -> None:
        """Take note of what a datanode says. Raises Refused, FencedOff, EtcdError."""
        if (offer := self._offers.get(report.task_id)) is not None:
            await offer.wait()  # it is faster than datacoord's answer that it has the task
        task = await self._store.change(report.task_id, partial(rules.reported, report=report))
        if task is None:
            return
        if task.state is ImportState.PERSISTED:
            self._unflushed.add(task.id)
            self._flip_now.set()
        if not task.working:
            log.info("import task ended", task=task.id, state=task.state.name, error=task.error)
            self._send_now.set()

    def task(self, task_id: int) -> ImportTask | None:
        """The task of that id, None when there is none."""
        return self._store.get(task_id)

    def tasks(self, collection_id: int | None, limit: int) -> list[ImportTask]:
        """Tasks of one collection or of all, oldest first; of more than `limit` the newest.

        A `limit` of 0 or less is none.
        """
        found = [task for task in self._store if collection_id in (None, task.collection_id)]
        return found[-limit:] if limit > 0 else found

    async def send_pending(self) -> None:
        """Offer pending tasks to datacoord, oldest first, until it takes no more.

        Raises EtcdError, FencedOff, NotServing.
        """
        await self._store.settle()
        for task in self._pending():
            done = self._offers[task.id] = asyncio.Event()
            try:
                if not await self._offer(task):
                    return
            finally:
                del self._offers[task.id]
                done.set()

    async def flip_persisted(self) -> None:
        """Complete the tasks whose segments are flushed; fail those whose segments are gone.

        Raises EtcdError, FencedOff, NotServing.
        """
        for task in self._store:
            if task.state is ImportState.PERSISTED:
                try:
                    await self._flip(task)
                except CallError as error:
                    log.warn("cannot follow an import task", task=task.id, error=str(error))

    async def clean_up(self) -> None:
        """Fail what takes too long, put failures away, delete old records.

        Raises EtcdError, FencedOff.
        """
        settings = self._settings
        expired = partial(
            rules.expired,
            now_s=self._now_s(),
            expiration_s=settings.expiration_s,
            retention_s=settings.retention_s,
        )
        for task in self._store:
            left = await self._store.change(task.id, expired)
            if left is None or not left.working:
                self._unflushed.discard(task.id)
            if task.working and not (left and left.working):
                log.warn("import task timed out", task=task.id, datanode=task.datanode_id)
                self._send_now.set()

    async def _recover(self) -> None:
        await self._store.load()
        for task in self._store:
            if task.working:
                await self._store.change(task.id, rules.recovered)
        self.recovered.set()
        self._send_now.set()

    async def _offer(self, task: ImportTask) -> bool:
        """Whether a datanode has it now. What datacoord said is kept until it is stored."""
        outcome = self._outcomes.get(task.id)
        if outcome is None:
            outcome = await self._ask(task)
            if isinstance(outcome, CallError) and (outcome.unseen or outcome.refused):
                log.warn("nobody takes an import task yet", task=task.id, error=str(outcome))
                return False
            self._outcomes[task.id] = outcome
        answer = outcome if isinstance(outcome, int) else str(outcome)
        offered = partial(rules.offered, answer=answer, now_s=self._now_s())
        await self._store.change(task.id, offered)
        del self._outcomes[task.id]
        log.info("import task sent", task=task.id, outcome=str(outcome))
        return isinstance(outcome, int)

    async def _ask(self, task: ImportTask) -> int | CallError:
        busy = sorted({each.datanode_id for each in self._store if each.working})
        order = ImportOrder(
            task_id=task.id,
            collection_id=task.collection_id,
            partition_id=task.partition_id,
            virtual_channels=task.virtual_channels,
            files=task.files,
            infos=task.infos,
            database_name=task.database_name,
            busy_nodes=tuple(busy),
        )
        self._serve.require()
        try:
            return await self._datacoord.import_(order)
        except CallError as error:
            return error

    async def _flip(self, task: ImportTask) -> None:
        segments, to = task.segments, ImportState.COMPLETED
        if segments:
            self._serve.require()
            if task.id in self._unflushed:
                await self._datacoord.flush(task.collection_id, segments)
                self._unflushed.discard(task.id)
            states = await self._datacoord.segment_states(segments)
            found = rules.after_flush(states)
            if found is None:
                return
            to = found
        if to is ImportState.COMPLETED and segments:
            self._serve.require()
            await self._datacoord.unset_importing(segments)
        await self._store.change(task.id, partial(rules.flipped, to=to))
        log.info("import task ended", task=task.id, state=to.name)
        self._unflushed.discard(task.id)
        self._send_now.set()

    def _pending(self) -> list[ImportTask]:
        return [task for task in self._store if task.state is ImportState.PENDING]

    def _now_s(self) -> int:
        return self._clock.wall_ns() // _NS
