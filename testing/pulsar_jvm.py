"""Pulsar itself, standalone, started by scripts/pulsar-broker; and what lies in its topics."""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path

import pulsar

from testing.broker_jvm import BROKER_ENV, JvmBroker
from testing.ports import free_ports

_SCRIPT = Path(__file__).parents[1] / "scripts" / "pulsar-broker"


class JvmPulsar(JvmBroker):
    """Serves at `url`."""

    script = _SCRIPT

    def __init__(self, folder: Path) -> None:
        port, web, bookie = free_ports(3)
        argv = [str(_SCRIPT), "--port", str(port), "--web-port", str(web)]
        argv += ["--bookie-port", str(bookie), "--data", str(folder / "data")]
        super().__init__("pulsar-jvm", argv, folder=folder, env=BROKER_ENV)
        self.ports = (port, web, bookie)
        self.url = f"pulsar://127.0.0.1:{port}"

    def serves(self) -> bool:
        """Whether it has made the namespace that clients use when they name none."""
        admin = http.client.HTTPConnection("127.0.0.1", self.ports[1], timeout=5)
        try:
            admin.request("GET", "/admin/v2/namespaces/public")
            return "public/default" in json.loads(admin.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            admin.close()


def read_topic(url: str, topic: str, *, after: bytes | None = None) -> list[pulsar.Message]:
    """All messages, or those from the position `after` on, itself included."""
    quiet = pulsar.FileLogger(pulsar.LoggerLevel.Error, os.devnull)
    client = pulsar.Client(url, operation_timeout_seconds=10, logger=quiet)
    try:
        start = pulsar.MessageId.earliest
        if after is not None:
            start = pulsar.MessageId.deserialize(after)
        reader = client.create_reader(
            f"public/default/{topic}", start, start_message_id_inclusive=True
        )
        messages = []
        while reader.has_message_available():
            messages.append(reader.read_next(timeout_millis=10_000))
        return messages
    finally:
        client.close()
