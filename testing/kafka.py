"""librdkafka's test broker in a process of its own: a Kafka of one broker, topics in memory."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from testing.daemon import Daemon

_ROOT = Path(__file__).parents[1]


class KafkaBroker(Daemon):
    """Serves at `address` (`host:port`) until stopped. Raises ImportError without librdkafka."""

    def __init__(self, folder: Path) -> None:
        import confluent_kafka  # noqa: F401 - say here, not in the child's log, that it is missing

        argv = [sys.executable, "-m", "testing.kafka"]
        super().__init__("kafka", argv, folder=folder, env={"PYTHONPATH": str(_ROOT)})
        self.address = ""

    async def serve(self) -> str:
        """Start and return the address."""
        after = self.log_size()
        self.start()
        line = await self.wait_line(r"^serving \S+$", after=after)
        self.address = line.removeprefix("serving ")
        return self.address


def _main() -> None:
    from confluent_kafka import Producer

    producer = Producer({"test.mock.num.brokers": 1})
    brokers = producer.list_topics(timeout=10).brokers.values()
    broker = next(iter(brokers))
    print(f"serving {broker.host}:{broker.port}", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    _main()
