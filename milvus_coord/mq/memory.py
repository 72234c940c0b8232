"""A queue inside the process: for tests, and for a coordinator without data nodes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from struct import Struct
from typing import Final

from milvus_coord.mq.queue import QueueError

_POSITION: Final = Struct("<q")


class MemoryQueue:
    """Keeps what is sent, up to `kept_max` messages a channel; positions are like Kafka's.

    Attributes:
        sent: channel -> payloads, oldest first.
    """

    def __init__(self, kept_max: int | None = None) -> None:
        self.sent: dict[str, list[bytes]] = {}
        self._kept_max = kept_max
        self._offsets: dict[str, count[int]] = {}
        self._closed = False

    async def prepare(self, channels: Sequence[str]) -> None:
        self._refuse_when_closed()
        for channel in channels:
            self.sent.setdefault(channel, [])

    async def send(self, channel: str, payload: bytes) -> bytes:
        self._refuse_when_closed()
        kept = self.sent.setdefault(channel, [])
        kept.append(bytes(payload))
        if self._kept_max is not None and len(kept) > self._kept_max:
            del kept[0]
        return _POSITION.pack(next(self._offsets.setdefault(channel, count())))

    async def close(self) -> None:
        self._closed = True

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise QueueError("the queue is closed")
