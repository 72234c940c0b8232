"""Records of one key each, changed by compare-and-swap, for keys that no mirror can hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import delete, mod_revision_is, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.model.errors import BadValue
from milvus_coord.telemetry.log import log

K = TypeVar("K", bound=Any)
R = TypeVar("R")

_TRIES: Final = 3
_ABSENT: Final = 0


class RecordCodec(Protocol[K, R]):
    """How records of one kind lie in etcd; `K` identifies a record, and can be sorted."""

    @property
    def kind(self) -> str:
        """What a record is called in logs, such as "import task"."""

    @property
    def prefix(self) -> bytes:
        """Of all of them."""

    def key(self, id_: K) -> bytes:
        """Of one of them."""

    def encode(self, record: R) -> bytes:
        """The value of its key."""

    def decode(self, key: bytes, value: bytes) -> tuple[K, R]:
        """The record under `key`. Raises BadValue that names it."""


class KeyedStore(Generic[K, R]):
    """What etcd holds of one kind of records, read once in a term, and the only way to change it.

    Nobody else writes these keys during our term, so that no watch is needed. Each write asks that
    its key be as we saw it last: one whose answer was lost and that comes late cannot undo what
    was written after it.
    """

    def __init__(self, etcd: Etcd, fence: Fence, codec: RecordCodec[K, R]) -> None:
        self._etcd, self._fence, self._codec = etcd, fence, codec
        self._records: dict[K, R] = {}
        self._revisions: dict[K, int] = {}
        self._unsure: set[K] = set()
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Read all records. Raises EtcdError; a damaged one is logged, left alone and not seen."""
        found = await self._etcd.range(self._codec.prefix)
        self._records.clear()
        self._revisions.clear()
        for index, kv in enumerate(found.kvs):
            try:
                self._take(kv)
            except BadValue as error:
                log.warn(f"ignoring a damaged {self._codec.kind}", error=str(error))
            if index % 500 == 499:
                await asyncio.sleep(0)

    def get(self, id_: K) -> R | None:
        """The record of that id, None when there is none."""
        return self._records.get(id_)

    def __iter__(self) -> Iterator[R]:
        """All records as of now, by id."""
        return iter([self._records[id_] for id_ in sorted(self._records)])

    async def add(self, id_: K, record: R) -> None:
        """Store a new record. Raises FencedOff, EtcdError, and ConditionFailed for a known id.

        After an error it may be stored nevertheless; `settle` finds out.
        """
        async with self._writing:
            await self._write(id_, record, _ABSENT)

    async def change(self, id_: K, decide: Callable[[R | None], R | None]) -> R | None:
        """Replace a record by what `decide` makes of it, or delete it for None; the outcome.

        `decide` sees the record as it is stored, may be called again, and what it raises goes to
        the caller. What is equal is not written. Raises FencedOff and EtcdError; what came of the
        write is then looked up before the next one.
        """
        async with self._writing:
            tries_left = _TRIES
            while True:
                await self._look_up(id_)
                record = self._records.get(id_)
                wanted = decide(record)
                if wanted == record:
                    return record
                try:
                    await self._write(id_, wanted, self._revisions.get(id_, _ABSENT))
                except ConditionFailed:
                    tries_left -= 1
                    if not tries_left:
                        raise
                else:
                    return wanted

    async def settle(self) -> None:
        """Look up every record whose last write has no known outcome. Raises EtcdError."""
        async with self._writing:
            for id_ in sorted(self._unsure):
                await self._look_up(id_)

    async def _write(self, id_: K, record: R | None, revision: int) -> None:
        key = self._codec.key(id_)
        operation = delete(key) if record is None else put(key, self._codec.encode(record))
        self._unsure.add(id_)
        result = await self._fence.commit(operation, when=(mod_revision_is(key, revision),))
        self._unsure.discard(id_)
        if record is None:
            self._forget(id_)
        else:
            self._records[id_], self._revisions[id_] = record, result.revision

    async def _look_up(self, id_: K) -> None:
        if id_ not in self._unsure:
            return
        found = (await self._etcd.get(self._codec.key(id_))).kv
        if found is None:
            self._forget(id_)
        else:
            self._take(found)
        self._unsure.discard(id_)

    def _take(self, kv: KeyValue) -> None:
        id_, record = self._codec.decode(kv.key, kv.value)
        self._records[id_], self._revisions[id_] = record, kv.mod_revision

    def _forget(self, id_: K) -> None:
        self._records.pop(id_, None)
        self._revisions.pop(id_, None)
