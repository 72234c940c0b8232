"""From settings to a queue; the client library of the one that is configured is loaded here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from milvus_coord.mq.memory import MemoryQueue
from milvus_coord.mq.queue import Queue, QueueUnusable
from milvus_coord.mq.settings import KafkaSettings, MemorySettings, PulsarSettings, QueueSettings
from milvus_coord.telemetry.log import log

_KEPT_IN_MEMORY = 100


def check_client(settings: QueueSettings) -> None:
    """Make sure, without loading it, that the client library is there. Raises QueueUnusable."""
    match settings:
        case KafkaSettings():
            module, missing = "confluent_kafka", _missing("kafka", "confluent-kafka")
        case PulsarSettings():
            module, missing = "pulsar", _missing("pulsar", "pulsar-client")
        case MemorySettings():
            return
    if find_spec(module) is None:
        raise missing


def load_client(settings: QueueSettings) -> None:
    """Load the client library, which takes a moment. Raises QueueUnusable when it is missing."""
    _maker(settings)


def connect(settings: QueueSettings) -> Queue:
    """A queue to be closed by the caller; nothing has been sent, no broker has answered yet.

    Call it in the event loop. Raises QueueUnusable when the client library is missing or refuses
    the settings.
    """
    return _maker(settings)()


def _maker(settings: QueueSettings) -> Callable[[], Queue]:
    match settings:
        case KafkaSettings():
            try:
                from milvus_coord.mq.kafka import KafkaQueue
            except ImportError as error:
                raise _missing("kafka", "confluent-kafka") from error
            return partial(KafkaQueue, settings)
        case PulsarSettings():
            try:
                from milvus_coord.mq.pulsar import PulsarQueue
            except ImportError as error:
                raise _missing("pulsar", "pulsar-client") from error
            return partial(PulsarQueue, settings)
        case MemorySettings():
            return _in_memory


def _in_memory() -> Queue:
    log.warn("the message queue is in the memory of this process: nobody else sees its messages")
    return MemoryQueue(kept_max=_KEPT_IN_MEMORY)


def _missing(extra: str, package: str) -> QueueUnusable:
    return QueueUnusable(
        f"{extra} needs the Python package {package}: pip install 'milvus-coord[{extra}]'"
    )
