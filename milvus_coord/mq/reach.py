"""Whether a broker of the configured queue can be reached from here, whoever uses it."""

from __future__ import annotations

import asyncio
from typing import Final

from milvus_coord.config.address import split_address
from milvus_coord.mq.settings import KafkaSettings, PulsarSettings, QueueSettings
from milvus_coord.runtime.dial import dial
from milvus_coord.runtime.race import cancel_and_wait

_DIAL_S: Final = 2.0
_PORTS: Final = {"kafka": 9092, "pulsar": 6650, "pulsar+ssl": 6651, "http": 8080, "https": 8443}


async def unreachable(settings: QueueSettings | None) -> str:
    """Why no broker can be reached, "" when one accepts a connection within two seconds.

    A client of the queue would keep connections of its own to all brokers for this.
    """
    addresses = broker_addresses(settings)
    if not addresses:
        return ""
    dialled = [asyncio.create_task(_why_not(*each), name="mq.dial") for each in addresses]
    try:
        for each in asyncio.as_completed(dialled):
            if not (why := await each):
                return ""
    finally:
        await cancel_and_wait(*dialled)
    return f"no broker can be reached, {why}"


def broker_addresses(settings: QueueSettings | None) -> tuple[tuple[str, int], ...]:
    """Host and port of each broker that is configured; none of a queue in memory."""
    match settings:
        case KafkaSettings():
            scheme, texts = "kafka", settings.brokers.split(",")
        case PulsarSettings():
            scheme, _, rest = settings.url.partition("://")
            texts = rest.partition("/")[0].split(",")
        case _:
            return ()
    return tuple(_address(text, _PORTS.get(scheme, 6650)) for text in map(str.strip, texts) if text)


def _address(text: str, default: int) -> tuple[str, int]:
    try:
        host, port = split_address(text.rpartition("//")[2].rpartition("@")[2])
    except ValueError:
        return text, default  # which the resolver refuses, by its name
    return host, port or default


async def _why_not(host: str, port: int) -> str:
    try:
        await dial(host, port, within_s=_DIAL_S)
    except TimeoutError:
        return f"{host}:{port} does not answer"
    except OSError as error:
        return f"{host}:{port}: {error}"
    return ""
