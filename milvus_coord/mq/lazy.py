"""A queue that is connected at its first use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from milvus_coord.mq.queue import Queue, QueueError


class LazyQueue:
    """Implements `mq.queue.Queue`: making a client takes 10 ms, which a takeover has no time for.

    Raises QueueUnusable at each use when the client cannot be made.
    """

    def __init__(self, connect: Callable[[], Queue]) -> None:
        self._connect = connect
        self._queue: Queue | None = None
        self._closed = False

    async def prepare(self, channels: Sequence[str]) -> None:
        await self._connected.prepare(channels)

    async def send(self, channel: str, payload: bytes) -> bytes:
        return await self._connected.send(channel, payload)

    async def close(self) -> None:
        self._closed = True
        if self._queue is not None:
            await self._queue.close()

    @property
    def _connected(self) -> Queue:
        if self._closed:
            raise QueueError("the queue is closed")
        if self._queue is None:
            self._queue = self._connect()
        return self._queue
