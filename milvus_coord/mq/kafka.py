"""Kafka, by librdkafka, which is also what the Go coordinators use."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from struct import Struct
from typing import Final, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from milvus_coord.mq.broker_health import BrokerHealth
from milvus_coord.mq.queue import SEND_TIMEOUT_S, QueueError, QueueUnusable
from milvus_coord.mq.settings import KafkaSettings

_PARTITION: Final = 0  # whatever the topic has: Go 2.2.16 reads and writes this one alone
_POSITION: Final = Struct("<q")
_BUSY_S: Final = 0.1
_IDLE_S: Final = 1.0
# How long a try took differs each time, and would make each a new trouble.
_STATE_TIMES: Final = re.compile(r" \(after \d+ms in state \w+[^)]*\)")

_Report: TypeAlias = tuple["asyncio.Future[bytes]", KafkaError | None, int]


class KafkaQueue:
    """One producer for all channels; a channel is a topic, a position the offset (int64, LE).

    A thread takes delivery reports from librdkafka and hands them to the event loop in bulk.
    That brokers cannot be reached ends nothing: librdkafka goes on trying, each message in vain for
    `SEND_TIMEOUT_S`. Raises QueueUnusable when made from settings that librdkafka refuses.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._producer = Producer({**producer_config(settings), "error_cb": self._on_error})
        except (KafkaException, ValueError, TypeError) as error:
            raise QueueUnusable(f"kafka client refuses its settings: {_text(error)}") from error
        self._reports: deque[_Report] = deque()
        self._sent = self._reported = 0
        self._health = BrokerHealth("kafka", settings.brokers)
        self._closing = self._woken = False
        self._work, self._ended = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka.reports", daemon=True)
        self._thread.start()

    async def prepare(self, channels: Sequence[str]) -> None:
        """Nothing to do: as with Go, the broker creates a topic when it is first written to."""

    async def send(self, channel: str, payload: bytes) -> bytes:
        if self._closing:
            raise QueueError("the queue is closed")
        future: asyncio.Future[bytes] = self._loop.create_future()
        # Counted before: the report may be there before produce() returns.
        self._sent += 1
        try:
            self._producer.produce(
                channel, payload, partition=_PARTITION, on_delivery=partial(self._report, future)
            )
        except (KafkaException, BufferError) as error:
            self._sent -= 1
            raise QueueError(f"kafka topic {channel}: {_text(error)}") from error
        if not self._work.is_set():
            self._work.set()
        try:
            return await future
        except KafkaException as error:
            raise QueueError(f"kafka topic {channel}: {self._explained(error)}") from error

    async def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)
            self._work.set()
        await self._ended.wait()
        self._thread.join()

    def _poll(self) -> None:
        """The thread: waits in librdkafka while reports are due, else for work."""
        while not self._closing or self._sent != self._reported:
            if self._sent != self._reported:
                self._producer.poll(_BUSY_S)
                continue
            self._work.clear()
            if self._sent == self._reported and not self._closing:
                self._work.wait(_IDLE_S)
            self._producer.poll(0)
        del self._producer  # waits for librdkafka's own threads
        self._loop.call_soon_threadsafe(self._ended.set)

    def _report(self, future: asyncio.Future[bytes], error: KafkaError | None, of: Message) -> None:
        """In the thread: one message is stored or given up."""
        self._reported += 1
        offset = of.offset()
        self._reports.append((future, error, -1 if offset is None else offset))
        # Looked at after the append, as `_settle` clears it before it looks: none is overlooked.
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._woken = False
        stored = False
        while self._reports:
            future, error, offset = self._reports.popleft()
            stored = stored or error is None
            if future.done():  # its caller was cancelled
                continue
            if error is None and offset >= 0:
                future.set_result(_POSITION.pack(offset))
            else:
                future.set_exception(KafkaException(error or KafkaError(KafkaError._NO_OFFSET)))
        if stored:
            self._health.recovered()

    def _explained(self, error: KafkaException) -> str:
        """What happened to a message, and why as far as the client has told."""
        if error.args[0].code() == KafkaError._MSG_TIMED_OUT and self._health.text:
            return f"{_text(error)} ({self._health.text})"
        return _text(error)

    def _on_error(self, error: KafkaError) -> None:
        """In the thread: the client has trouble, not with one message but with its brokers."""
        if self._closing:
            return
        # librdkafka follows each cause with "brokers are down", which must not hide the cause.
        all_down = error.code() == KafkaError._ALL_BROKERS_DOWN
        note = self._health.symptom if all_down else self._health.failed
        self._loop.call_soon_threadsafe(note, _STATE_TIMES.sub("", error.str()))


def producer_config(settings: KafkaSettings) -> dict[str, str | int | bool]:
    """What librdkafka is told: the settings of Go 2.2.16, the user's over them.

    Unlike Go's, a message is given up after `SEND_TIMEOUT_S` instead of five minutes.
    """
    config: dict[str, str | int | bool] = {
        "bootstrap.servers": settings.brokers,
        "api.version.request": True,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 5000,
        "message.max.bytes": 10 << 20,
        "compression.codec": "zstd",
        "linger.ms": 2,
        "message.timeout.ms": int(SEND_TIMEOUT_S * 1000),
        "log_level": 0,  # errors come by callback, into our log instead of standard error
    }
    if settings.sasl is not None:
        config |= {
            "security.protocol": settings.sasl.protocol,
            "sasl.mechanisms": settings.sasl.mechanism,
            "sasl.username": settings.sasl.user,
            "sasl.password": settings.sasl.password,
        }
    return config | dict(settings.producer)


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.str() if isinstance(reason, KafkaError) else str(reason)
