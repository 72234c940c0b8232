"""The queues that the contract is tested on: how to connect to each, and to read what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from milvus_coord.mq.connect import connect
from milvus_coord.mq.memory import MemoryQueue
from milvus_coord.mq.queue import Queue
from milvus_coord.mq.settings import KafkaSettings, PulsarSettings
from testing import kafka_jvm, pulsar_jvm
from testing.daemon import Daemon
from testing.kafka import KafkaBroker
from testing.kafka_jvm import JvmKafka
from testing.pulsar_jvm import JvmPulsar


class Place(Protocol):
    """A queue server; `too_large` bytes are more than a message may have.

    `server` is the process, to be frozen.
    """

    too_large: int | None
    server: Daemon | None

    def connect(self) -> Queue: ...
    async def read(self, channel: str) -> list[tuple[bytes, bytes]]:
        """Position and payload of each message of a channel."""


@dataclass
class InMemory:
    too_large: int | None = None
    server: Daemon | None = None
    queues: list[MemoryQueue] = field(default_factory=list)

    def connect(self) -> Queue:
        self.queues.append(MemoryQueue())
        return self.queues[-1]

    async def read(self, channel: str) -> list[tuple[bytes, bytes]]:
        sent = [queue.sent.get(channel, []) for queue in self.queues]
        [kept] = [payloads for payloads in sent if payloads]
        return [(offset.to_bytes(8, "little"), payload) for offset, payload in enumerate(kept)]


@dataclass
class InKafka:
    address: str
    server: Daemon | None
    too_large: int | None = (10 << 20) + 1

    def connect(self) -> Queue:
        return connect(KafkaSettings(self.address))

    async def read(self, channel: str) -> list[tuple[bytes, bytes]]:
        records = await asyncio.to_thread(kafka_jvm.read_topic, self.address, channel)
        return [(r.offset.to_bytes(8, "little"), r.value) for r in records]


@dataclass
class InPulsar:
    url: str
    server: Daemon | None
    too_large: int | None = (5 << 20) + 1

    def connect(self) -> Queue:
        return connect(PulsarSettings(self.url, request_timeout_s=10))

    async def read(self, channel: str) -> list[tuple[bytes, bytes]]:
        messages = await asyncio.to_thread(pulsar_jvm.read_topic, self.url, channel)
        return [(m.message_id().serialize() + b"\x18\0\x20\0", m.data()) for m in messages]


def memory(_: Path) -> Iterator[Place]:
    yield InMemory()


def mock(folder: Path) -> Iterator[Place]:
    """Librdkafka's own test broker: a Kafka wherever the client library is."""
    broker = KafkaBroker(folder)
    address = asyncio.run(broker.serve())
    yield InKafka(address, broker)
    broker.kill()


def kafka(folder: Path) -> Iterator[Place]:
    JvmKafka.skip_unless_there()
    broker = JvmKafka(folder)
    try:
        broker.serve()
        yield InKafka(broker.address, broker)
    finally:
        broker.end()


def pulsar(folder: Path) -> Iterator[Place]:
    JvmPulsar.skip_unless_there()
    broker = JvmPulsar(folder)
    try:
        broker.serve()
        yield InPulsar(broker.url, broker)
    finally:
        broker.end()


PLACES: dict[str, Callable[[Path], Iterator[Place]]] = {
    "memory": memory,
    "mock": mock,
    "kafka": kafka,
    "pulsar": pulsar,
}
