"""Every queue keeps what it promises: memory, librdkafka's test broker, Kafka, Pulsar."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from milvus_coord.mq.queue import SEND_TIMEOUT_S, Queue, QueueError
from testing.queue_places import PLACES, InMemory, Place

pytestmark = pytest.mark.timeout(150)  # Pulsar takes 20 s and more to start

_channels = count()


@pytest.fixture(scope="module", params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    yield from PLACES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
async def queue(place: Place) -> AsyncIterator[Queue]:
    if isinstance(place, InMemory):
        place.queues.clear()
    opened = place.connect()
    yield opened
    await opened.close()


@pytest.fixture
def channel() -> str:
    return f"by-dev-rootcoord-dml_{next(_channels)}"


async def test_what_is_sent_is_read_in_order_at_its_position(
    place: Place, queue: Queue, channel: str
) -> None:
    payloads = [b"", b"\0\xff" * 3, bytes(range(256)), b"x" * (1 << 20), b"last"]
    positions = [await queue.send(channel, payload) for payload in payloads]
    assert await place.read(channel) == list(zip(positions, payloads, strict=True))


async def test_prepare_is_optional_and_may_be_repeated(
    place: Place, queue: Queue, channel: str
) -> None:
    channels = [f"{channel}-{i}" for i in range(4)]
    await asyncio.gather(queue.prepare(channels), queue.prepare(channels[2:]))
    for name in [*channels, channel]:
        await queue.send(name, name.encode())
    for name in [*channels, channel]:
        assert [payload for _, payload in await place.read(name)] == [name.encode()]


async def test_many_callers_at_once(place: Place, queue: Queue, channel: str) -> None:
    channels = [f"{channel}-{i}" for i in range(4)]

    async def caller(name: str, number: int) -> list[tuple[bytes, bytes]]:
        payloads = [f"{number} {turn}".encode() for turn in range(5)]
        return [(await queue.send(name, payload), payload) for payload in payloads]

    sent = await asyncio.gather(*(caller(channels[n % 4], n) for n in range(32)))
    for index, name in enumerate(channels):
        of_channel = {pair for n, pairs in enumerate(sent) if n % 4 == index for pair in pairs}
        found = await place.read(name)
        assert len(found) == 40
        assert set(found) == of_channel
        for number in range(index, 32, 4):
            mine = [p for _, p in found if p.startswith(b"%d " % number)]
            assert mine == [b"%d %d" % (number, turn) for turn in range(5)]


async def test_a_cancelled_caller_disturbs_nobody(queue: Queue, channel: str) -> None:
    await queue.send(channel, b"first")
    leaving, staying = (
        asyncio.create_task(queue.send(channel, text)) for text in (b"leaving", b"staying")
    )
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying
    assert leaving.done()
    assert await queue.send(channel, b"last")


async def test_a_message_too_large_is_refused_and_nothing_else(
    place: Place, queue: Queue, channel: str
) -> None:
    if place.too_large is None:
        pytest.skip("memory takes every size")
    await queue.send(channel, b"before")
    with pytest.raises(QueueError, match=r"(?i)size|bytes"):
        await queue.send(channel, bytes(place.too_large))
    await queue.send(channel, b"after")
    assert [payload for _, payload in await place.read(channel)] == [b"before", b"after"]


async def test_closed_is_closed(place: Place, channel: str) -> None:
    queue = place.connect()
    await queue.send(channel, b"sent")
    waiting = [asyncio.create_task(queue.send(channel, b"waiting")) for _ in range(100)]
    await asyncio.sleep(0)
    await queue.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {bytes, QueueError}
    await queue.close()
    with pytest.raises(QueueError):
        await queue.send(channel, b"late")
    with pytest.raises(QueueError):
        await queue.send(f"{channel}-other", b"late")


async def test_a_server_that_hangs_is_waited_for_in_bounds_and_left_at_once(
    place: Place, queue: Queue, channel: str
) -> None:
    if place.server is None:
        pytest.skip("memory does not hang")
    leaving = place.connect()
    for each in (queue, leaving):
        await each.send(channel, b"message")
    place.server.pause()
    try:
        pending = [asyncio.create_task(leaving.send(channel, b"more")) for _ in range(10)]
        began = time.monotonic()
        with pytest.raises(QueueError, match=r"(?i)time[d ]*out"):
            await queue.send(channel, b"more")
        assert time.monotonic() - began < SEND_TIMEOUT_S + 2
        pending += [asyncio.create_task(leaving.send(channel, b"more")) for _ in range(10)]
        await asyncio.sleep(0)
        began = time.monotonic()
        await leaving.close()
        outcomes = await asyncio.gather(*pending, return_exceptions=True)
        assert time.monotonic() - began < 3
        assert {type(outcome) for outcome in outcomes} == {QueueError}
    finally:
        place.server.resume()
    deadline = time.monotonic() + 20
    while True:  # and it comes back by itself
        try:
            await queue.send(channel, b"again")
            break
        except QueueError:
            assert time.monotonic() < deadline


async def test_no_thread_is_left(place: Place, channel: str) -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    async def once() -> None:
        queue = place.connect()
        await queue.send(channel, b"message")
        await queue.close()

    await once()  # a client library may keep one for good
    before = threads()
    for _ in range(3):
        await once()
    deadline = time.monotonic() + 5
    while threads() > before and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert threads() <= before
