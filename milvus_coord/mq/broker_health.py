"""Whether the queue's brokers answer: one log line when that changes."""

from __future__ import annotations

from milvus_coord.runtime.say_once import SayOnce
from milvus_coord.telemetry.log import log


class BrokerHealth:
    """The last trouble with brokers, empty when the last message was stored."""

    def __init__(self, queue: str, brokers: str) -> None:
        self._queue, self._brokers = queue, brokers
        self._said = SayOnce("")

    @property
    def text(self) -> str:
        """What is wrong, empty when nothing is."""
        return self._said.last

    def failed(self, text: str) -> None:
        """Note what is wrong."""
        if self._said.is_news(text):
            log.warn(f"{self._queue} is in trouble, trying on", brokers=self._brokers, error=text)

    def symptom(self, text: str) -> None:
        """Note a symptom, unless a cause is known."""
        if not self.text:
            self.failed(text)

    def recovered(self) -> None:
        """Note that a message was stored."""
        if self._said.is_news(""):
            log.info(f"{self._queue} stores messages again", brokers=self._brokers)
