"""The single steps of cleaning up: each is repeated until it succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from milvus_coord.coordinators.rootcoord.collections.effects import ALL_PARTITIONS, DdlEffects
from milvus_coord.model.errors import CoordError, FencedOff
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log

T = TypeVar("T")

ABREAST_MAX: Final = 16
"""So many objects at a time ask the same of the same part: there may be thousands to adopt."""


class Ticks(Protocol):
    """The time ticks, to write between them and to wait for them."""

    def stamp(self, channels: Iterable[str]) -> AbstractAsyncContextManager[Timestamp]:
        """A fresh timestamp; no tick at or above it goes to `channels` until the block ends."""

    async def reached(self, channel: str, ts: Timestamp) -> None:
        """Until the last tick of the channel is `ts` or more."""


@dataclass(frozen=True, slots=True)
class CleanupTimes:
    """Seconds. Go 2.2.16 asks datacoord 20 minutes after the drop, then every 20 minutes."""

    gc_first_s: float = 1200.0
    gc_every_s: float = 1200.0
    retry_first_s: float = 0.5
    retry_cap_s: float = 30.0


class CleanupSteps:
    """What cleaning up asks of others, for ever within the term.

    Every method raises FencedOff alone.
    """

    def __init__(
        self, *, effects: DdlEffects, ticks: Ticks, clock: Clock, times: CleanupTimes
    ) -> None:
        self._effects, self._ticks, self._clock, self._times = effects, ticks, clock, times
        self._gates: dict[str, asyncio.Semaphore] = {}

    async def surely(self, what: str, whom: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns at last; a growing pause between tries.

        `what` could not be done, says the log line; `whom` names the part that is asked, at most
        `ABREAST_MAX` times at once.
        """
        retry = Retry(
            self._clock,
            what,
            on=(CoordError,),
            first_s=self._times.retry_first_s,
            cap_s=self._times.retry_cap_s,
        )
        gate = self._gates.setdefault(whom, asyncio.Semaphore(ABREAST_MAX))
        while True:
            trouble: CoordError
            try:
                async with gate:
                    result = await attempt()
            except FencedOff:
                raise
            except CoordError as error:
                trouble = error
            except Exception as error:  # one broken object must not end the term, and the next
                log.error("cleaning up broke", what=what, error=error)
                trouble = CoordError(f"{type(error).__name__}: {error}")
            else:
                retry.succeeded()
                return result
            await retry.wait(trouble)

    async def unload(self, collection_id: int) -> None:
        """No query node holds the collection."""
        await self.surely(
            f"release collection {collection_id}",
            "querycoord",
            lambda: self._effects.release(collection_id),
        )

    async def drop_index(self, collection_id: int, partition_ids: Sequence[int] = ()) -> None:
        """Indexcoord forgets the indexes of the collection, or of some partitions."""
        await self.surely(
            f"drop the index of collection {collection_id}",
            "indexcoord",
            lambda: self._effects.drop_index(collection_id, partition_ids),
        )

    async def tell_readers(
        self, what: str, channels: Sequence[str], message: Callable[[Timestamp, int], bytes]
    ) -> Timestamp:
        """Put one message into each channel; the fresh timestamp it carries.

        `message` makes it of a timestamp and our server id.
        """

        async def attempt() -> Timestamp:
            async with self._ticks.stamp(channels) as ts:
                await self._effects.send(channels, message(ts, self._effects.server_id))
            return ts

        return await self.surely(what, "queue", attempt)

    async def ticked(self, channels: Iterable[str], ts: Timestamp) -> None:
        """Readers of `channels` have been promised that nothing up to `ts` follows."""
        for channel in channels:
            await self._ticks.reached(channel, ts)

    async def collected(
        self, began_s: float, collection_id: int, partition_id: int = ALL_PARTITIONS
    ) -> None:
        """Datacoord has no segment of it any more. First asked some time after `began_s`."""
        await self._clock.sleep(began_s + self._times.gc_first_s - self._clock.boottime())
        while not await self._is_collected(collection_id, partition_id):
            await self._clock.sleep(self._times.gc_every_s)

    async def _is_collected(self, collection_id: int, partition_id: int) -> bool:
        try:
            return await self._effects.gc_finished(collection_id, partition_id)
        except FencedOff:
            raise
        except CoordError as error:  # Go too asks at the next turn only
            log.warn("cannot ask for garbage", collection=collection_id, error=str(error))
            return False
