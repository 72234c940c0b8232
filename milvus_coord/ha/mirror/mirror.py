"""An image in memory of all keys below one prefix, kept true by a watch."""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from milvus_coord.etcd.errors import Compacted, EtcdError, Unavailable
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Compare, Op, mod_revision_is, put
from milvus_coord.etcd.values import Batch, Event, EventKind, KeyValue
from milvus_coord.ha.election.fence import Fence
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log

SLICE_KEYS: Final = 200
"""After so many keys the event loop gets its turn: a few milliseconds for costly images."""

_OURS: Final = b"ha/"
"""What is below it in the prefix is written for mirrors alone, and never reaches an image."""


class Image(Protocol):
    """What is made of the keys. `put` and `delete` take whatever bytes are there, and never raise.

    Two images of the same keys are the same, however their keys came and went.
    """

    def put(self, key: bytes, value: bytes) -> None:
        """The key is there with this value."""

    def delete(self, key: bytes) -> None:
        """The key is gone, or never was."""

    def lines(self) -> Iterator[str]:
        """All that it holds as at this call, in lines that no other content has, in a fixed order.

        The image may change while they are taken. See `ha.canonical`.
        """


I = TypeVar("I", bound=Image)  # noqa: E741 - the only name of its kind here


class Mirror(Generic[I]):
    """One image after another: a new one is read whenever etcd's history was lost to us.

    Attributes:
        image: complete as of `revision` once `synced` has been True; ask anew at each use. Before
            that it is empty. While a lost history is read anew the old image stays, `synced` is
            False, and the new one replaces it when it is complete.
        revision: everything that etcd has done to the prefix up to here is in the image.
        changed: the image is the same since this revision: it was read or last changed at it.
        keys: how many keys of etcd the image is made of.
        mark_key: `<prefix>ha/mark`, written by `catch_up`; it never reaches the image.
    """

    def __init__(self, etcd: Etcd, clock: Clock, prefix: bytes, new_image: Callable[[], I]) -> None:
        self._etcd, self._clock, self._prefix = etcd, clock, prefix
        self._ours = prefix + _OURS
        self._new_image = new_image
        self._name = prefix.decode(errors="backslashreplace")
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = itertools.count()
        self._mark_revision = 0
        self.mark_key: Final = self._ours + b"mark"
        self.image = new_image()
        self.revision = self.changed = self.keys = 0
        self.synced = False

    def __repr__(self) -> str:
        return f"<Mirror {self._name} at {self.revision}{'' if self.synced else ', not synced'}>"

    async def run(self) -> None:
        """Read and follow for ever; an etcd that does not answer is waited for.

        A transaction becomes visible as a whole. Raises etcd's errors other than Unavailable.
        """
        while True:
            await self._read()
            try:
                await self._follow()
            except Compacted as error:
                self.synced = False
                log.warn("etcd history lost, reading again", prefix=self._name, error=str(error))

    async def reached(self, revision: int) -> None:
        """Return once the image has what etcd did to the prefix up to `revision`.

        A revision that changed nothing below the prefix is reached with the next one that does.
        """
        if self.revision >= revision:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._tickets), reached))
        await reached

    async def catch_up(self, fence: Fence) -> int:
        """Write the mark and wait for it: all that etcd has applied so far is in the image.

        From then on a transaction under an older `barrier` is refused, also one that is still on
        its way. Returns the mark's revision. Raises FencedOff; trouble in etcd is waited out.
        """
        retry = Retry(self._clock, f"mark {self._name}", on=(EtcdError,), cap_s=1.0)
        value = b"%d" % fence.epoch
        marked = await retry.run(lambda: fence.commit(put(self.mark_key, value)))
        await self.reached(marked.revision)
        return marked.revision

    def barrier(self) -> Compare:
        """The mark is the one seen last: a condition that the next `catch_up` makes untrue."""
        return mod_revision_is(self.mark_key, self._mark_revision)

    def beacon(self, server_id: int, lease: int) -> Op:
        """A write below the prefix, `<prefix>ha/beacon-<id>`, to learn by `lag` how we keep up.

        For a transaction of the caller's, such as that of its status, each second: nothing else
        tells how far a watch of a prefix has come in which nobody writes. What etcd says to a
        question for its progress may overtake events before 3.5.8 (etcd-io/etcd#15220).
        """
        return put(b"%sbeacon-%d" % (self._ours, server_id), b"", lease)

    def lag(self, revision: int) -> int | None:
        """How many revisions of etcd up to `revision` we have not seen; None when not synced.

        `revision` is that of a transaction with a `beacon` of ours in it: 0 then means that all
        that etcd did before is in the image. Of one without, it may stay above 0 for long.
        """
        return max(0, revision - self.revision) if self.synced else None

    async def _read(self) -> None:
        retry = Retry(self._clock, f"read {self._name}", on=(Unavailable,), cap_s=1.0)
        found = await retry.run(lambda: self._etcd.range(self._prefix))
        theirs, ours = split(self._prefix, found.kvs)
        image = await make(self._new_image, theirs)
        self.image = image
        self.keys = len(theirs)
        self.changed = found.revision
        self._mark_revision = next((kv.mod_revision for kv in ours if kv.key == self.mark_key), 0)
        gc.freeze()  # a large image that lives long: never look through it for garbage
        self.synced = True
        self._advance(found.revision)
        log.debug("mirror read", prefix=self._name, keys=len(found.kvs), revision=found.revision)

    async def _follow(self) -> None:
        watch = self._etcd.watch(self._prefix, prefix=True, start_revision=self.revision + 1)
        try:
            async for batch in watch:
                await self._take(batch)
        finally:
            await watch.aclose()

    async def _take(self, batch: Batch) -> None:
        """Apply the events; between two revisions the loop may get its turn, never within one."""
        revision, taken = 0, 0
        for event in batch.events:
            if event.kv.mod_revision != revision:
                if taken >= SLICE_KEYS:
                    self._advance(revision)
                    taken = 0
                    await asyncio.sleep(0)
                revision = event.kv.mod_revision
            taken += 1
            self._apply(event)
        self._advance(batch.revision)

    def _apply(self, event: Event) -> None:
        key, gone = event.kv.key, event.kind is EventKind.DELETE
        if key.startswith(self._ours):
            if key == self.mark_key:
                self._mark_revision = 0 if gone else event.kv.mod_revision
            return
        self.changed = event.kv.mod_revision
        if gone:
            self.keys -= 1
            self.image.delete(key)
        else:
            self.keys += event.kv.version == 1
            self.image.put(key, event.kv.value)

    def _advance(self, revision: int) -> None:
        self.revision = revision
        while self._waiting and self._waiting[0][0] <= revision:
            reached = heapq.heappop(self._waiting)[2]
            if not reached.done():
                reached.set_result(None)


def split(prefix: bytes, kvs: Iterable[KeyValue]) -> tuple[list[KeyValue], list[KeyValue]]:
    """The keys that an image is made of, and those that are written for mirrors."""
    room = prefix + _OURS
    theirs: list[KeyValue] = []
    ours: list[KeyValue] = []
    for kv in kvs:
        (ours if kv.key.startswith(room) else theirs).append(kv)
    return theirs, ours


async def make(new_image: Callable[[], I], kvs: Iterable[KeyValue]) -> I:
    """An image of these keys, made in slices."""
    image = new_image()
    for index, kv in enumerate(kvs, 1):
        image.put(kv.key, kv.value)
        if index % SLICE_KEYS == 0:
            await asyncio.sleep(0)
    return image
