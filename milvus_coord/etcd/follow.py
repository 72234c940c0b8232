"""A listing and then its changes without end, over any `Etcd`; bridges compaction by a diff."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Never

from milvus_coord.etcd.errors import Compacted, EtcdError, Unavailable
from milvus_coord.etcd.protocol import Etcd, Watch
from milvus_coord.etcd.values import Batch, Event, EventKind, KeyValue, Listing
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log


async def follow_prefix(
    etcd: Etcd, clock: Clock, prefix: bytes, take: Callable[[Listing | Batch], None], *, what: str
) -> Never:
    """Hand all keys below `prefix` and then each change of them to `take`, for ever.

    Every error of etcd is waited out; `what` names the keys in the log, such as "session keys".
    After some errors `take` gets a Listing anew: what is not in it has gone.
    """
    retry = Retry(clock, f"follow the {what}", on=(EtcdError,))

    async def follow() -> Never:
        async with aclosing(etcd.follow(prefix, prefix=True)) as changes:
            async for news in changes:
                retry.succeeded()
                take(news)
        raise AssertionError("following a prefix does not end")

    await retry.run(follow)


class PrefixFollow:
    """The `protocol.Follow` of client and twin. It remembers what it has delivered."""

    def __init__(self, etcd: Etcd, clock: Clock, key: bytes, *, prefix: bool) -> None:
        self._etcd, self._clock = etcd, clock
        self._key, self._prefix = key, prefix
        self._name = key.decode(errors="backslashreplace") + ("*" if prefix else "")
        self._delivered: dict[bytes, KeyValue] | None = None
        self._watch: Watch | None = None

    def __aiter__(self) -> AsyncIterator[Listing | Batch]:
        return self

    async def __anext__(self) -> Listing | Batch:
        if self._delivered is None:
            listing = await self._read()
            self._delivered = {kv.key: kv for kv in listing.kvs}
            self._watch_from(listing.revision + 1)
            return listing
        while True:
            try:
                if self._watch is not None:
                    return self._taken(await self._watch.__anext__())
            except Compacted as error:
                log.warn("etcd history lost, reading again", key=self._name, error=str(error))
                await self.aclose()
            listing = await self._read()
            self._watch_from(listing.revision + 1)
            if batch := self._caught_up(self._delivered, listing):
                return batch

    async def aclose(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.aclose()

    def _watch_from(self, revision: int) -> None:
        self._watch = self._etcd.watch(self._key, prefix=self._prefix, start_revision=revision)

    async def _read(self) -> Listing:
        backoff = Backoff(0.1, 1.0)
        while True:
            try:
                if self._prefix:
                    found = await self._etcd.range(self._key)
                    return Listing(found.kvs, found.revision)
                one = await self._etcd.get(self._key)
                return Listing((one.kv,) if one.kv else (), one.revision)
            except Unavailable as error:
                log.warn("etcd listing not read, trying on", key=self._name, error=str(error))
                await self._clock.sleep(backoff.next())

    def _taken(self, batch: Batch) -> Batch:
        assert self._delivered is not None
        _remember(self._delivered, batch.events)
        return batch

    def _caught_up(self, delivered: dict[bytes, KeyValue], listing: Listing) -> Batch | None:
        """The difference as one batch, in the order of keys; None when there is none."""
        changes = _difference(delivered, listing)
        _remember(delivered, changes)
        return Batch(tuple(changes), listing.revision) if changes else None


def _difference(delivered: dict[bytes, KeyValue], listing: Listing) -> list[Event]:
    there = {kv.key: kv for kv in listing.kvs}
    gone = (KeyValue(key, b"", 0, 0, 0, listing.revision) for key in delivered if key not in there)
    changed = (kv for kv in listing.kvs if delivered.get(kv.key) != kv)
    events = [Event(EventKind.DELETE, kv) for kv in gone]
    events += [Event(EventKind.PUT, kv) for kv in changed]
    return sorted(events, key=lambda event: event.kv.key)


def _remember(delivered: dict[bytes, KeyValue], events: Iterable[Event]) -> None:
    for event in events:
        if event.kind is EventKind.DELETE:
            delivered.pop(event.kv.key, None)
        else:
            delivered[event.kv.key] = event.kv
