"""The effects of DDL statements outside etcd: on queue, proxies and other coordinators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from milvus_coord.clients.datacoord import DataCoordClient
from milvus_coord.clients.indexcoord import IndexCoordClient
from milvus_coord.clients.querycoord import QueryCoordClient
from milvus_coord.coordinators.rootcoord.proxies.work import Proxies
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.collection import Collection, StartPosition
from milvus_coord.model.errors import CoordError
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.mq.queue import Sender
from milvus_coord.runtime.race import gather_all, limited

T = TypeVar("T")

ALL_PARTITIONS: Final = -1
"""The partition id that stands for the whole collection in DataCoord.GcConfirm."""


class TooLate(CoordError):
    """Somebody else did not answer in time; what was asked for may have been done."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds after which nobody is waited for any longer.

    They bound what hangs: each of the parts has deadlines of its own, which come first.
    """

    proxies_s: float = 30.0
    queue_s: float = 30.0
    coordinators_s: float = 30.0


class DdlEffects:
    """All effects of DDL that etcd cannot fence: each needs the serve lease, and ends in time.

    Every method raises NotServing, TooLate, or what the part that was asked raises.
    """

    def __init__(
        self,
        *,
        serve: ServeLease,
        queue: Sender,
        proxies: Proxies,
        datacoord: DataCoordClient,
        querycoord: QueryCoordClient,
        indexcoord: IndexCoordClient,
        server_id: int,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._serve, self._queue, self._proxies = serve, queue, proxies
        self._datacoord, self._querycoord, self._indexcoord = datacoord, querycoord, indexcoord
        self._deadlines = deadlines or Deadlines()
        self.server_id = server_id

    def require(self) -> None:
        """Raises NotServing without the serve lease."""
        self._serve.require()

    async def send(self, channels: Sequence[str], payload: bytes) -> tuple[StartPosition, ...]:
        """Append one message to each channel; where they lie.

        To all channels at once, while Go 2.2.16 takes one after the other: no reader follows more
        than one of them for a collection's order.
        """
        sends = (self._send(channel, payload) for channel in channels)
        return tuple(await gather_all(*sends, name="rootcoord.ddl.send"))

    async def invalidate_id(
        self, db_name: str, collection_id: int, ts: Timestamp, *, dropped: bool = False
    ) -> None:
        """Let proxies forget a collection under all its names.

        With `dropped` they also close what they hold open to write into it.
        """
        self.require()
        forgotten = self._proxies.invalidate_collection(
            db_name, collection_id=collection_id, ts=ts, dropped=dropped
        )
        await _within(self._deadlines.proxies_s, "a proxy", forgotten)

    async def invalidate_names(self, db_name: str, names: Sequence[str], ts: Timestamp) -> None:
        """Let proxies forget the collections that they know by these names."""
        self.require()
        forgotten = self._proxies.invalidate_collection(db_name, names=names, ts=ts)
        await _within(self._deadlines.proxies_s, "a proxy", forgotten)

    async def watch(self, collection: Collection) -> None:
        """Let data nodes read the collection's channels from its start positions on."""
        await self._ask("datacoord", lambda: self._datacoord.watch_channels(collection))

    async def announce_properties(
        self, collection: Collection, partition_ids: Sequence[int]
    ) -> None:
        """Tell datacoord the collection's properties.

        All of them: datacoord replaces what it knows. Go 2.2.16 sends the changed ones alone, and
        datacoord then forgets the others.
        """
        await self._ask(
            "datacoord",
            lambda: self._datacoord.broadcast_altered(
                collection, partition_ids, collection.properties
            ),
        )

    async def gc_finished(self, collection_id: int, partition_id: int = ALL_PARTITIONS) -> bool:
        """Whether datacoord keeps no segment of it any more."""
        return await self._ask(
            "datacoord", lambda: self._datacoord.gc_confirm(collection_id, partition_id)
        )

    async def release(self, collection_id: int) -> None:
        """Unload the collection, if it is loaded."""
        await self._ask(
            "querycoord",
            lambda: self._querycoord.release_collection(collection_id, self.server_id),
        )

    async def drop_index(self, collection_id: int, partition_ids: Sequence[int] = ()) -> None:
        """Drop all indexes of the partitions, of all partitions when none is named."""
        await self._ask(
            "indexcoord", lambda: self._indexcoord.drop_index(collection_id, partition_ids)
        )

    async def _send(self, channel: str, payload: bytes) -> StartPosition:
        self.require()
        sent = self._queue.send(channel, payload)
        position = await _within(self._deadlines.queue_s, f"the queue ({channel})", sent)
        return StartPosition(channel, position)

    async def _ask(self, whom: str, call: Callable[[], Awaitable[T]]) -> T:
        self.require()
        return await _within(self._deadlines.coordinators_s, whom, call())


async def _within(seconds: float, whom: str, answer: Awaitable[T]) -> T:
    async with limited(seconds, lambda: TooLate(f"{whom} did not answer within {seconds:g} s")):
        return await answer
