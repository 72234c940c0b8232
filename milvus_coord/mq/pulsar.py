"""Pulsar, by its C++ client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Final

import pulsar
from pulsar.asyncio import Client, Producer, PulsarException

from milvus_coord.mq.broker_health import BrokerHealth
from milvus_coord.mq.queue import SEND_TIMEOUT_S, QueueError, QueueUnusable
from milvus_coord.mq.settings import PulsarSettings
from milvus_coord.wire.varint import varint

_PENDING_MAX: Final = 10_000
_CLOSE_S: Final = 1.0


class PulsarQueue:
    """One producer for each channel; a channel is a topic, a position a `MessageIdData`.

    That brokers cannot be reached ends nothing: a producer that was made once goes on trying, each
    message in vain for `SEND_TIMEOUT_S`; making one takes at most `request_timeout_s`. Raises
    QueueUnusable when made from settings that the client refuses.
    """

    def __init__(self, settings: PulsarSettings) -> None:
        self._settings = settings
        try:
            self._client = Client(
                settings.url,
                authentication=_authentication(settings),
                operation_timeout_seconds=max(1, round(settings.request_timeout_s)),
                # It repeats itself on standard output else; its errors reach us as exceptions.
                logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, os.devnull),
            )
        except (RuntimeError, ValueError, TypeError) as error:
            raise QueueUnusable(f"pulsar client refuses its settings: {error}") from error
        self._health = BrokerHealth("pulsar", settings.url)
        self._producers: dict[str, Producer] = {}
        self._making: dict[str, asyncio.Lock] = {}
        self._closed = False

    async def prepare(self, channels: Sequence[str]) -> None:
        """Make the producers of `channels`, as Go 2.2.16 does at start; this makes the topics."""
        made = await asyncio.gather(*map(self._producer, channels), return_exceptions=True)
        for outcome in made:
            if isinstance(outcome, BaseException):
                raise outcome

    async def send(self, channel: str, payload: bytes) -> bytes:
        if len(payload) > self._settings.message_bytes_max:
            raise QueueError(
                f"pulsar topic {channel}: message of {len(payload)} bytes, "
                f"pulsar.maxMessageSize is {self._settings.message_bytes_max}"
            )
        producer = self._producers.get(channel) or await self._producer(channel)
        try:
            stored = await producer.send(payload)
        except PulsarException as error:
            raise self._failed(channel, error) from error
        self._health.recovered()
        return position(stored.ledger_id(), stored.entry_id())

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._client.close()
        except (TimeoutError, PulsarException):
            # A broker that does not answer. This asks nobody, and joins threads.
            await asyncio.to_thread(self._client.shutdown)
        self._producers.clear()

    async def _producer(self, channel: str) -> Producer:
        async with self._making.setdefault(channel, asyncio.Lock()):
            if self._closed:
                raise QueueError("the queue is closed")
            if channel not in self._producers:
                self._producers[channel] = await self._make(channel)
            return self._producers[channel]

    async def _make(self, channel: str) -> Producer:
        try:
            return await self._client.create_producer(
                f"{self._settings.tenant}/{self._settings.namespace}/{channel}",
                compression_type=pulsar.CompressionType.ZSTD,
                batching_enabled=False,
                send_timeout_millis=int(SEND_TIMEOUT_S * 1000),
                max_pending_messages=_PENDING_MAX,
            )
        except PulsarException as error:
            raise self._failed(channel, error) from error

    def _failed(self, channel: str, error: PulsarException) -> QueueError:
        text = str(error).partition(" ")[2]  # without the number
        if not self._closed:
            self._health.failed(text)
        return QueueError(f"pulsar topic {channel}: {text}")


def position(ledger: int, entry: int) -> bytes:
    """`MessageIdData` with partition and batch_index 0, as Go's client makes it.

    The C++ client leaves both out, which Go reads as -1 and then silently does not seek.
    """
    return b"\x08" + varint(ledger) + b"\x10" + varint(entry) + b"\x18\x00\x20\x00"


def _authentication(settings: PulsarSettings) -> pulsar.Authentication | None:
    if not settings.auth_plugin:
        return None
    return pulsar.Authentication(settings.auth_plugin, settings.auth_params)
