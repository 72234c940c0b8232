"""An image in memory of all keys below some prefixes, kept true by one watch."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Generic

from milvus_coord.etcd.errors import Compacted, EtcdError, Unavailable
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Compare, mod_revision_is, put
from milvus_coord.etcd.values import Batch, Event, EventKind
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.mirror.changes import Changes
from milvus_coord.ha.mirror.image import SLICE_KEYS, I, Mirrored, read_image
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log


class Mirror(Generic[I]):
    """One image after another: a new one is read whenever etcd's history was lost to us.

    One watch follows the whole range from the first prefix to the last, the pair's own keys
    included, and what is foreign in it is passed over: so all comes in the order of etcd, and the
    mark, or the status that each instance writes every second, tells how far it has come.

    Attributes:
        image: complete as of `revision` once `synced` has been True; ask anew at each use. Before
            that it is empty. While it is not followed `synced` is False; the image before stays
            until the next is complete.
        revision: everything that etcd has done to the range up to here is in the image.
        changed: the image is the same since this revision: it was read or last changed at it.
        keys: how many keys of etcd the image is made of.
    """

    def __init__(self, etcd: Etcd, clock: Clock, mirrored: Mirrored[I]) -> None:
        self._etcd, self._clock = etcd, clock
        self.mirrored: Final = mirrored
        self._low, self._high, self._mark_key = mirrored.low, mirrored.high, mirrored.mark_key
        self._name = ", ".join(each.decode(errors="backslashreplace") for each in mirrored.prefixes)
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = itertools.count()
        self._listeners: list[Changes] = []
        self._mark_revision = 0
        self.image = mirrored.new_image()
        self.revision = self.changed = self.keys = 0
        self.synced = False
        self._version = -1

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
                log.warn("etcd history lost, reading again", prefix=self._name, error=str(error))

    async def reached(self, revision: int) -> None:
        """Return once the image has what etcd did to the range up to `revision`.

        An image of an etcd that was replaced since has nothing of it.
        A revision that changed no key that it `sees` is reached with the next one that does.
        """
        if self.revision >= revision and self._version == self._etcd.replaced.version():
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._tickets), reached))
        await reached

    def sees(self, key: bytes) -> bool:
        """Whether a change of this key moves `revision`."""
        return self._low <= key < self._high

    @contextmanager
    def changes(self, prefix: bytes) -> Iterator[Changes]:
        """Hear of the keys below `prefix` that change until the block ends, by anyone's writes."""
        listener = Changes(prefix, synced=self.synced)
        self._listeners.append(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)

    async def catch_up(self, fence: Fence) -> int:
        """Write the mark and wait for it: all that etcd has applied so far is in the image.

        From then on a transaction under an older `barrier` is refused, also one that is still on
        its way. Returns the mark's revision. Raises FencedOff; trouble in etcd is waited out.
        """
        retry = Retry(self._clock, f"mark {self._name}", on=(EtcdError,), cap_s=1.0)
        value = b"%d" % fence.epoch
        marked = await retry.run(lambda: fence.commit(put(self._mark_key, value)))
        await self.reached(marked.revision)
        return marked.revision

    def barrier(self) -> Compare:
        """The mark is the one seen last: a condition that the next `catch_up` makes untrue."""
        return mod_revision_is(self._mark_key, self._mark_revision)

    def lag(self, revision: int) -> int | None:
        """How many revisions of etcd up to `revision` we have not seen; None when not synced.

        `revision` is that of a transaction that wrote a key that it `sees`: 0 then means that all
        that etcd did before is in the image. Of another one it may stay above 0 for long. What
        etcd says to a question for a watch's progress may overtake events before 3.5.8
        (etcd-io/etcd#15220), so it is not asked.
        """
        return max(0, revision - self.revision) if self.synced else None

    async def _read(self) -> None:
        retry = Retry(self._clock, f"read {self._name}", on=(Unavailable, Compacted), cap_s=1.0)
        found = await retry.run(lambda: read_image(self._etcd, self.mirrored))
        if self.keys and not found.keys:
            log.error("etcd holds no metadata any more", prefix=self._name, keys=self.keys)
        self._version = self._etcd.replaced.version()
        self.image, self.keys = found.image, found.keys
        self.changed, self._mark_revision = found.revision, found.mark
        self.synced = True
        for listener in self._listeners:
            listener.put_all()
        self._advance(found.revision)
        log.debug("mirror read", prefix=self._name, keys=found.keys, revision=found.revision)

    async def _follow(self) -> None:
        watch = self._etcd.watch(self._low, end=self._high, start_revision=self.revision + 1)
        try:
            async for batch in watch:
                await self._take(batch)
        finally:
            self.synced = False
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
        if not key.startswith(self.mirrored.prefixes):
            if key == self._mark_key:
                self._mark_revision = 0 if gone else event.kv.mod_revision
            return
        self.changed = event.kv.mod_revision
        if gone:
            self.keys -= 1
            self.image.delete(key)
        else:
            self.keys += event.kv.version == 1
            self.image.put(key, event.kv.value)
        for listener in self._listeners:
            if key.startswith(listener.prefix):
                listener.put(key)

    def _advance(self, revision: int) -> None:
        self.revision = revision
        while self._waiting and self._waiting[0][0] <= revision:
            reached = heapq.heappop(self._waiting)[2]
            if not reached.done():
                reached.set_result(None)
