"""How to reach the message queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Sasl:
    """Login of Kafka; `protocol` and `mechanism` are librdkafka's words ("SASL_SSL", "PLAIN")."""

    protocol: str
    mechanism: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """`brokers` is `host:port`, several separated by commas.

    `producer` holds settings of librdkafka by their own names, over what we set ourselves.
    """

    brokers: str
    sasl: Sasl | None = None
    producer: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class PulsarSettings:
    """`url` is `pulsar://host:port` or `pulsar+ssl://host:port`.

    `auth_plugin` is a name of the client library ("token", "tls", "oauth2", "athenz", "basic" or a
    Java class name), empty for none; `auth_params` is what it takes, in JSON.
    """

    url: str
    tenant: str = "public"
    namespace: str = "default"
    message_bytes_max: int = 5 << 20
    request_timeout_s: float = 60.0
    auth_plugin: str = ""
    auth_params: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """A queue inside the process, for demonstrations: nobody else sees its messages."""


QueueSettings: TypeAlias = KafkaSettings | PulsarSettings | MemorySettings
