"""Kafka itself, of one broker, started by scripts/kafka-broker; and what lies in its topics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from testing.broker_jvm import BROKER_ENV, JvmBroker
from testing.ports import free_ports

_SCRIPT = Path(__file__).parents[1] / "scripts" / "kafka-broker"


class JvmKafka(JvmBroker):
    """Serves at `address`; topics that come by themselves have four partitions."""

    script = _SCRIPT

    def __init__(self, folder: Path, *, login: tuple[str, str] | None = None) -> None:
        port, controller = free_ports(2)
        argv = [str(_SCRIPT), "--port", str(port), "--controller-port", str(controller)]
        argv += ["--data", str(folder / "data"), "--partitions", "4"]
        if login is not None:
            argv += ["--user", login[0], "--password", login[1]]
        super().__init__("kafka-jvm", argv, folder=folder, env=BROKER_ENV)
        self.ports = (port, controller)
        self.address = f"127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic."""

    partition: int
    offset: int
    key: bytes | None
    headers: object
    value: bytes


def read_topic(address: str, topic: str) -> list[Record]:
    """All records of all partitions; those of one partition in their order."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "tests",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "log_level": 0,
        }
    )
    try:
        known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p)) for p in known}
        there = sum(high - low for low, high in ends.values())
        consumer.assign([TopicPartition(topic, p, 0) for p in known])
        records: list[Record] = []
        while len(records) < there:
            got = consumer.consume(there - len(records), timeout=10)
            assert got, f"{len(records)} of {there} records of {topic}"
            for message in got:
                assert message.error() is None, message.error()
                records.append(
                    Record(
                        message.partition() or 0,
                        message.offset() or 0,
                        message.key(),
                        message.headers(),
                        message.value() or b"",
                    )
                )
        return records
    finally:
        consumer.close()
