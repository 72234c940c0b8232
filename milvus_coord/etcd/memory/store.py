"""The state of an etcd in memory: revisions, leases, history. Pure but for the clock it reads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from milvus_coord.etcd.errors import (
    Compacted,
    InvalidRequest,
    LeaseNotFound,
    TooManyOperations,
)
from milvus_coord.etcd.prefix import ALL_KEYS_END
from milvus_coord.etcd.txn import (
    MAX_OPS,
    Compare,
    Delete,
    DeleteResult,
    Get,
    Op,
    OpResult,
    Put,
    PutResult,
    Target,
    Txn,
    TxnResult,
)
from milvus_coord.etcd.values import Batch, Event, EventKind, KeyValue, RangeResult
from milvus_coord.runtime.clock import Clock


def within(key: bytes, start: bytes, end: bytes) -> bool:
    """Whether `key` is in [start, end) by etcd's rules: no end means `start` alone."""
    if not end:
        return key == start
    return key >= start and (end == ALL_KEYS_END or key < end)


@dataclass(slots=True)
class _LeaseState:
    granted_ttl_s: int
    expires_at: float


@dataclass(slots=True)
class MemoryStore:
    """One etcd that several `MemoryEtcd` clients may share. Leases end by `clock` alone.

    Every method first ends the leases that are due.
    """

    clock: Clock
    least_ttl_s: int = 2
    revision: int = 1
    compacted: int = 0
    history: list[Batch] = field(default_factory=list)
    incarnation: int = 0
    _subscribers: list[Callable[[], None]] = field(default_factory=list)
    _kvs: dict[bytes, KeyValue] = field(default_factory=dict)
    _leases: dict[int, _LeaseState] = field(default_factory=dict)
    _lease_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(7_001))

    def subscribe(self, subscriber: Callable[[], None]) -> None:
        """Have `subscriber` called after each new revision."""
        self._subscribers.append(subscriber)

    def snapshot(self) -> MemoryStore:
        """The keys and leases of now, for `restore`; without history, as etcd's."""
        leases = {lease: replace(state) for lease, state in self._leases.items()}
        return MemoryStore(
            self.clock, self.least_ttl_s, self.revision, _kvs=dict(self._kvs), _leases=leases
        )

    def restore(self, snapshot: MemoryStore, *, revision: int = 0) -> None:
        """Put another store in the place of this one; `revision` is what it has come to by then."""
        self._kvs, self._leases = dict(snapshot._kvs), dict(snapshot._leases)
        self.revision = self.compacted = revision or snapshot.revision
        events = tuple(Event(EventKind.PUT, kv) for kv in self._kvs.values())
        self.history = [Batch(events, self.revision)]
        self.incarnation += 1
        for subscriber in self._subscribers:
            subscriber()

    def range(self, start: bytes, end: bytes, revision: int = 0) -> tuple[KeyValue, ...]:
        """The keys in [start, end) now, or as they were. Raises Compacted."""
        self.expire()
        if revision in (0, self.revision):
            return self._select(self._kvs, start, end)
        if revision < self.compacted:
            raise Compacted(f"revision {revision} is compacted", revision=self.compacted)
        if revision > self.revision:
            raise InvalidRequest(f"revision {revision} is in the future")
        return self._select(self._as_of(revision), start, end)

    def txn(self, txn: Txn) -> TxnResult:
        """Raises TooManyOperations, InvalidRequest, LeaseNotFound; then nothing has changed."""
        self.expire()
        if max(len(txn.compares), len(txn.then), len(txn.otherwise)) > MAX_OPS:
            raise TooManyOperations("too many operations in transaction")
        _check_duplicates(txn.then)
        _check_duplicates(txn.otherwise)
        succeeded = all(self._holds(compare) for compare in txn.compares)
        branch = txn.then if succeeded else txn.otherwise
        for op in branch:
            if isinstance(op, Put) and op.lease and op.lease not in self._leases:
                raise LeaseNotFound(f"lease {op.lease:x} is not there")
        events: list[Event] = []
        answers = [self._apply(op, events) for op in branch]
        self._commit(events)
        responses = tuple(
            replace(answer, revision=self.revision) if isinstance(answer, RangeResult) else answer
            for answer in answers
        )
        return TxnResult(succeeded, self.revision, responses)

    def grant(self, ttl_s: int) -> tuple[int, int]:
        """A new lease: its id and the seconds granted."""
        self.expire()
        if ttl_s <= 0:
            raise InvalidRequest(f"a lease of {ttl_s} s")
        lease, granted = next(self._lease_ids), max(ttl_s, self.least_ttl_s)
        self._leases[lease] = _LeaseState(granted, self.clock.boottime() + granted)
        return lease, granted

    def renew(self, lease: int) -> int:
        """The seconds that the lease has again. Raises LeaseNotFound."""
        state = self._lease(lease)
        state.expires_at = self.clock.boottime() + state.granted_ttl_s
        return state.granted_ttl_s

    def revoke(self, lease: int) -> None:
        """Delete the lease and its keys in one revision. Raises LeaseNotFound."""
        self._lease(lease)
        self._end(lease)

    def time_to_live(self, lease: int) -> tuple[int, int]:
        """Whole seconds left and granted; -1 and 0 when the lease is gone."""
        self.expire()
        state = self._leases.get(lease)
        if state is None:
            return -1, 0
        return int(state.expires_at - self.clock.boottime()), state.granted_ttl_s

    def compact(self, revision: int) -> None:
        """Forget the history before `revision`."""
        if not self.compacted < revision <= self.revision:
            raise InvalidRequest(f"cannot compact at {revision} of {self.revision}")
        self.compacted = revision

    def expire(self) -> None:
        """End every lease whose time is up."""
        now = self.clock.boottime()
        for lease, state in list(self._leases.items()):
            if state.expires_at <= now:
                self._end(lease)

    def next_expiry(self) -> float | None:
        """Boot time of the next lease's end, None without leases."""
        return min((state.expires_at for state in self._leases.values()), default=None)

    def _lease(self, lease: int) -> _LeaseState:
        self.expire()
        if lease not in self._leases:
            raise LeaseNotFound(f"lease {lease:x} is not there")
        return self._leases[lease]

    def _end(self, lease: int) -> None:
        del self._leases[lease]
        events: list[Event] = []
        for key in sorted(key for key, kv in self._kvs.items() if kv.lease == lease):
            self._delete(key, events)
        self._commit(events)

    def _commit(self, events: list[Event]) -> None:
        if events:
            self.revision += 1
            self.history.append(Batch(tuple(events), self.revision))
            for subscriber in self._subscribers:
                subscriber()

    def _apply(self, op: Op, events: list[Event]) -> OpResult:
        if isinstance(op, Get):
            return RangeResult(self._select(self._kvs, op.key, op.end), self.revision)
        if isinstance(op, Delete):
            found = self._select(self._kvs, op.key, op.end)
            for kv in found:
                self._delete(kv.key, events)
            return DeleteResult(len(found))
        before = self._kvs.get(op.key)
        revision = self.revision + 1
        version, created = (before.version, before.create_revision) if before else (0, revision)
        after = KeyValue(op.key, op.value, op.lease, version + 1, created, revision)
        self._kvs[op.key] = after
        events.append(Event(EventKind.PUT, after))
        return PutResult()

    def _delete(self, key: bytes, events: list[Event]) -> None:
        del self._kvs[key]
        gone = KeyValue(key, b"", 0, 0, 0, self.revision + 1)
        events.append(Event(EventKind.DELETE, gone))

    def _holds(self, compare: Compare) -> bool:
        kv = self._kvs.get(compare.key)
        if kv is None:
            return compare.target is not Target.VALUE and compare.operand == 0
        value: int | bytes = getattr(kv, compare.target.value)
        return value == compare.operand

    def _as_of(self, revision: int) -> dict[bytes, KeyValue]:
        kvs: dict[bytes, KeyValue] = {}
        for batch in itertools.takewhile(lambda batch: batch.revision <= revision, self.history):
            for event in batch.events:
                kvs.pop(event.kv.key, None)
                if event.kind is EventKind.PUT:
                    kvs[event.kv.key] = event.kv
        return kvs

    @staticmethod
    def _select(kvs: dict[bytes, KeyValue], start: bytes, end: bytes) -> tuple[KeyValue, ...]:
        return tuple(kvs[key] for key in sorted(kvs) if within(key, start, end))


def _check_duplicates(ops: tuple[Op, ...]) -> None:
    puts: set[bytes] = set()
    for op in ops:
        if isinstance(op, Put):
            if op.key in puts:
                raise InvalidRequest(f"{op.key!r} is put twice in one transaction")
            puts.add(op.key)
    for op in ops:
        if isinstance(op, Delete) and any(within(key, op.key, op.end) for key in puts):
            raise InvalidRequest(f"{op.key!r} is put and deleted in one transaction")
