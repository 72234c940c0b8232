"""The twin of the client in memory, for tests: same answers, time and trouble under control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Final, TypeVar

from milvus_coord.etcd.errors import Compacted, EtcdError, Unavailable
from milvus_coord.etcd.memory.store import MemoryStore, within
from milvus_coord.etcd.prefix import range_end, range_start
from milvus_coord.etcd.protocol import PAGE_KEYS
from milvus_coord.etcd.txn import Txn, TxnResult
from milvus_coord.etcd.values import (
    Batch,
    ClusterMember,
    GetResult,
    Lease,
    LeaseStatus,
    MemberStatus,
    RangeResult,
)
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.signal import Signal
from milvus_coord.runtime.taskgroup import TaskGroup

T = TypeVar("T")

_REQUEST_TIMEOUT_S: Final = 30.0


class MemoryEtcd:
    """One client; `peer` makes another one of the same store, with its own link to it.

    Injected trouble: `fail_next` for one call, `partition` until `heal` for all; and
    `store.restore`.
    """

    def __init__(self, clock: Clock, store: MemoryStore | None = None) -> None:
        self.clock = clock
        self.store = store or MemoryStore(clock)
        self._failures: dict[str, list[tuple[EtcdError, bool]]] = {}
        self._cut = False
        self._silent = False
        self._changed = asyncio.Event()
        self._incarnation = self.store.incarnation
        self.replaced = Signal()
        self.store.subscribe(self._wake)

    def peer(self) -> MemoryEtcd:
        """Another client of the same store."""
        return MemoryEtcd(self.clock, self.store)

    def fail_next(
        self, call: str, error: EtcdError, *, applied: bool = False, times: int = 1
    ) -> None:
        """Let the next `times` calls of the method named `call` raise `error`.

        With `applied` the call takes effect and only its answer is lost.
        """
        self._failures.setdefault(call, []).extend([(error, applied)] * times)

    def partition(self, *, silent: bool = False) -> None:
        """Cut this client off: calls are refused at once, or with `silent` run into their timeout.

        Its watches deliver nothing until `heal`, then everything.
        """
        self._cut, self._silent = True, silent
        self._wake()

    def heal(self) -> None:
        """End the partition."""
        self._cut = False
        self._wake()

    def compact(self, revision: int | None = None) -> None:
        """Forget the history before `revision`, by default all of it."""
        self.store.compact(self.store.revision if revision is None else revision)
        self._wake()

    async def get(
        self, key: bytes, *, serializable: bool = False, timeout_s: float | None = None
    ) -> GetResult:
        def read() -> GetResult:
            kvs = self.store.range(key, b"")
            return GetResult(kvs[0] if kvs else None, self.store.revision)

        return await self._call("get", read, timeout_s)

    async def range(
        self,
        prefix: bytes,
        *,
        page_keys: int = PAGE_KEYS,
        revision: int = 0,
        timeout_s: float | None = None,
    ) -> RangeResult:
        def read() -> RangeResult:
            kvs = self.store.range(range_start(prefix), range_end(prefix), revision)
            return RangeResult(kvs, revision or self.store.revision)

        return await self._call("range", read, timeout_s)

    async def pages(
        self,
        start: bytes,
        end: bytes,
        *,
        page_keys: int = PAGE_KEYS,
        revision: int = 0,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[RangeResult, None]:
        more, incarnation = True, self.store.incarnation
        while more:
            if self.store.incarnation != incarnation:
                raise Compacted("etcd was replaced", revision=0)
            read = partial(self.store.range, start, end, revision)
            kvs = await self._call("range", read, timeout_s)
            revision = revision or self.store.revision
            page, more = kvs[:page_keys], len(kvs) > page_keys
            if more:
                start = page[-1].key + b"\x00"
            yield RangeResult(page, revision)

    async def txn(self, txn: Txn, *, timeout_s: float | None = None) -> TxnResult:
        return await self._call("txn", lambda: self.store.txn(txn), timeout_s)

    async def lease_grant(self, ttl_s: int, *, timeout_s: float | None = None) -> Lease:
        return Lease(*await self._call("lease_grant", lambda: self.store.grant(ttl_s), timeout_s))

    async def lease_revoke(self, lease: int, *, timeout_s: float | None = None) -> None:
        await self._call("lease_revoke", lambda: self.store.revoke(lease), timeout_s)

    async def lease_time_to_live(
        self, lease: int, *, timeout_s: float | None = None
    ) -> LeaseStatus:
        def ask() -> LeaseStatus:
            return LeaseStatus(*self.store.time_to_live(lease))

        return await self._call("lease_time_to_live", ask, timeout_s)

    async def keep_alive_once(self, lease: int, *, timeout_s: float) -> int:
        return await self._call("keep_alive_once", lambda: self.store.renew(lease), timeout_s)

    async def status(self) -> tuple[MemberStatus, ...]:
        if self._cut:
            return (MemberStatus("memory", error="cut off"),)
        return (MemberStatus("memory", "3.5.1", is_leader=True, has_leader=True),)

    async def members(self, *, timeout_s: float | None = None) -> tuple[ClusterMember, ...]:
        return await self._call(
            "members", lambda: (ClusterMember("memory", ("memory",)),), timeout_s
        )

    def watch(
        self,
        key: bytes,
        *,
        prefix: bool = False,
        end: bytes = b"",
        start_revision: int,
        idle_check_s: float = 2.0,
    ) -> MemoryWatch:
        if prefix:
            key, end = range_start(key), range_end(key)
        return MemoryWatch(self, key, end, start_revision)

    @property
    def cut(self) -> bool:
        """Whether this client is cut off now."""
        return self._cut

    async def changed(self) -> None:
        """Return after a new revision, a lease's end, a partition or its end."""
        self._changed.clear()
        expiry = self.store.next_expiry()
        if expiry is None:
            await self._changed.wait()
            return
        async with TaskGroup() as tasks:
            alarm = tasks.create_task(self._alarm(expiry), name="memory etcd lease alarm")
            await self._changed.wait()
            alarm.cancel()

    async def _alarm(self, expiry: float) -> None:
        await self.clock.sleep(expiry - self.clock.boottime())
        self._changed.set()

    def _wake(self) -> None:
        if not self._cut and self._incarnation != self.store.incarnation:
            self._incarnation = self.store.incarnation
            self.replaced.notify()
        self._changed.set()

    async def _call(self, name: str, run: Callable[[], T], timeout_s: float | None) -> T:
        await asyncio.sleep(0)
        if self._cut and self._silent:
            await self.clock.sleep(_REQUEST_TIMEOUT_S if timeout_s is None else timeout_s)
            raise Unavailable(f"etcd {name}: no answer (it may have been applied)", sent=True)
        if self._cut:
            raise Unavailable(f"etcd {name}: connection refused", sent=False)
        if planned := self._failures.get(name):
            error, applied = planned.pop(0)
            if applied:
                run()
            raise error
        return run()


class MemoryWatch:
    """The twin's `protocol.Watch`; one revision a batch."""

    def __init__(self, etcd: MemoryEtcd, start: bytes, end: bytes, next_revision: int) -> None:
        self._etcd = etcd
        self._start, self._end = start, end
        self._next_revision = next_revision
        self._incarnation = etcd.store.incarnation

    def __aiter__(self) -> AsyncIterator[Batch]:
        return self

    async def __anext__(self) -> Batch:
        await asyncio.sleep(0)
        while (batch := self._batch()) is None:
            await self._etcd.changed()
        return batch

    async def aclose(self) -> None:
        """Nothing is held."""

    def _batch(self) -> Batch | None:
        store = self._etcd.store
        store.expire()
        if self._etcd.cut:
            return None
        if self._incarnation != store.incarnation:
            raise Compacted("etcd was replaced", revision=0)
        if self._next_revision < store.compacted:
            raise Compacted(
                f"revision {self._next_revision} is compacted", revision=store.compacted
            )
        for batch in store.history:
            if batch.revision < self._next_revision:
                continue
            self._next_revision = batch.revision + 1
            events = tuple(e for e in batch.events if within(e.kv.key, self._start, self._end))
            if events:
                return Batch(events, batch.revision)
        # Like etcd's periodic reports: what a quiet watch has passed it does not ask for again.
        self._next_revision = max(self._next_revision, store.revision + 1)
        return None
