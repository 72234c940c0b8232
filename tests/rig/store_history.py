"""All that ever happened in an etcd, as a watch tells it, and who led at each revision."""

from __future__ import annotations

import asyncio
import bisect
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.values import Event, EventKind
from testing.daemon import boottime_s

META: Final = "by-dev/meta/"
KV: Final = "by-dev/kv/"
ACTIVE_KEY: Final = f"{META}session/rootcoord"
HA: Final = f"{META}ha/rootcoord/"
_WITHIN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Change:
    """One key at one revision; `value` is None where it was deleted. `seen_s` is boot time."""

    revision: int
    key: str
    value: bytes | None
    lease: int
    seen_s: float


@dataclass(frozen=True, slots=True)
class Holding:
    """From one write of the active key to the next, `until` excluded; `server_id` -1: junk."""

    epoch: int
    until: float
    server_id: int
    address: str
    lease: int


class StoreHistory:
    """Changes in the order of their revisions; `first` is the revision they must begin with."""

    def __init__(self, changes: Iterable[Change], *, first: int) -> None:
        self.changes = list(changes)
        self.first = first

    @property
    def revision(self) -> int:
        return self.changes[-1].revision if self.changes else self.first - 1

    def of(self, prefix: str) -> list[Change]:
        return [change for change in self.changes if change.key.startswith(prefix)]

    def holdings(self) -> list[Holding]:
        """Who held the active key, without the times in which nobody did."""
        writes = [change for change in self.changes if change.key == ACTIVE_KEY]
        found = []
        for index, write in enumerate(writes):
            if write.value is None:
                continue
            until = writes[index + 1].revision if index + 1 < len(writes) else float("inf")
            server_id, address = _holder(write.value)
            found.append(Holding(write.revision, until, server_id, address, write.lease))
        return found


class Holdings:
    """Finds the holding of a revision."""

    def __init__(self, holdings: list[Holding]) -> None:
        self._holdings = holdings
        self._epochs = [holding.epoch for holding in holdings]

    def before(self, revision: int) -> Holding | None:
        """The holding in which a transaction at `revision` was judged; None when nobody led.

        The transaction that wins or gives up the active key was judged in the holding before it.
        """
        at = bisect.bisect_left(self._epochs, revision) - 1
        if at < 0 or revision > self._holdings[at].until:
            return None
        return self._holdings[at]

    def begun_at(self, revision: int) -> Holding | None:
        """The holding whose epoch is `revision`."""
        at = bisect.bisect_left(self._epochs, revision)
        found = at < len(self._epochs) and self._epochs[at] == revision
        return self._holdings[at] if found else None


def _holder(value: bytes) -> tuple[int, str]:
    try:
        fields = json.loads(value)
        return int(fields["ServerID"]), str(fields["Address"])
    except (ValueError, TypeError, KeyError):
        return -1, ""


class StoreRecorder:
    """Watches the whole store from `begin` on; nothing of it goes through an edge.

    `changes` are those seen so far.
    """

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd
        self.changes: list[Change] = []
        self._grown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._first = 0

    async def begin(self) -> None:
        self._first = (await self._etcd.get(b"nothing")).revision + 1
        self._task = asyncio.create_task(self._record(), name="store recorder")

    async def _record(self) -> None:
        watch = self._etcd.watch(b"", prefix=True, start_revision=self._first)
        try:
            async for batch in watch:
                seen_s = boottime_s()
                self.changes += [_change(event, seen_s) for event in batch.events]
                self._grown.set()
        finally:
            await watch.aclose()

    async def caught_up(self) -> StoreHistory:
        """All that there is by now. Raises what ended the watch: a compaction, for instance."""
        revision = (await self._etcd.get(b"nothing", timeout_s=_WITHIN_S)).revision
        async with asyncio.timeout(_WITHIN_S):
            while not self.changes or self.changes[-1].revision < revision:
                assert self._task is not None
                if self._task.done():
                    self._task.result()
                self._grown.clear()
                await asyncio.wait(
                    {self._task, wait := asyncio.ensure_future(self._grown.wait())},
                    return_when=asyncio.FIRST_COMPLETED,
                )
                wait.cancel()
        return self.history

    @property
    def history(self) -> StoreHistory:
        return StoreHistory(self.changes, first=self._first)

    @property
    def holding(self) -> Holding | None:
        """Who holds the active key, as far as was seen."""
        for change in reversed(self.changes):
            if change.key == ACTIVE_KEY:
                if change.value is None:
                    return None
                return Holding(change.revision, float("inf"), *_holder(change.value), change.lease)
        return None

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _change(event: Event, seen_s: float) -> Change:
    kv = event.kv
    value = kv.value if event.kind is EventKind.PUT else None
    return Change(kv.mod_revision, kv.key.decode(errors="replace"), value, kv.lease, seen_s)
