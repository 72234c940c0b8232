"""A queue that is connected at its first use."""

from __future__ import annotations

import pytest

from milvus_coord.mq.lazy import LazyQueue
from milvus_coord.mq.memory import MemoryQueue
from milvus_coord.mq.queue import Queue, QueueError


async def test_it_is_connected_once_and_late() -> None:
    made: list[Queue] = []

    def connect() -> Queue:
        made.append(MemoryQueue(kept_max=10))
        return made[-1]

    queue = LazyQueue(connect)
    assert not made
    await queue.prepare(["c"])
    first, second = await queue.send("c", b"1"), await queue.send("c", b"2")
    assert len(made) == 1
    assert first != second
    await queue.close()
    with pytest.raises(QueueError, match="closed"):
        await queue.send("c", b"3")


async def test_one_that_was_never_used_is_never_connected() -> None:
    def connect() -> Queue:
        raise AssertionError("connected")

    queue = LazyQueue(connect)
    await queue.close()
    with pytest.raises(QueueError, match="closed"):
        await queue.prepare(["c"])
