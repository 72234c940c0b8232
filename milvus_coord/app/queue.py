"""From the configuration to a message queue."""

from __future__ import annotations

from milvus_coord.config import Settings
from milvus_coord.config.mq import Kafka, Pulsar
from milvus_coord.mq.settings import (
    KafkaSettings,
    MemorySettings,
    PulsarSettings,
    QueueSettings,
    Sasl,
)


def queue_settings(settings: Settings) -> QueueSettings | None:
    """How to reach the queue in use; None when none is, which `check_start` refuses for roles
    that need one.
    """
    match settings.queue:
        case "kafka":
            return _kafka(settings.kafka)
        case "pulsar":
            return _pulsar(settings.pulsar)
        case "memory":
            return MemorySettings()
    return None


def _kafka(kafka: Kafka) -> KafkaSettings:
    sasl = None
    if kafka.has_login:
        sasl = Sasl(
            protocol=kafka.security_protocol,
            mechanism=kafka.sasl_mechanisms,
            user=kafka.sasl_username,
            password=kafka.sasl_password.get_secret_value(),
        )
    options = tuple((name, value.get_secret_value()) for name, value in kafka.producer)
    return KafkaSettings(kafka.broker_list, sasl, options)


def _pulsar(pulsar: Pulsar) -> PulsarSettings:
    return PulsarSettings(
        url=pulsar.url,
        tenant=pulsar.tenant,
        namespace=pulsar.namespace,
        message_bytes_max=pulsar.max_message_size,
        request_timeout_s=pulsar.request_timeout_s,
        auth_plugin=pulsar.auth_plugin,
        auth_params=pulsar.auth_text,
    )
