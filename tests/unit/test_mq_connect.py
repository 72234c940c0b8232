"""Connecting to the queue in use: libraries that are missing, settings that are refused."""

from __future__ import annotations

import sys

import pytest

from milvus_coord.mq.connect import check_client, connect
from milvus_coord.mq.memory import MemoryQueue
from milvus_coord.mq.pulsar import position
from milvus_coord.mq.queue import QueueUnusable
from milvus_coord.mq.settings import KafkaSettings, MemorySettings, PulsarSettings, QueueSettings


@pytest.mark.parametrize(
    ("settings", "package", "extra"),
    [
        (KafkaSettings("k:9092"), "confluent_kafka", "kafka"),
        (PulsarSettings("pulsar://p:6650"), "pulsar", "pulsar"),
    ],
)
async def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: QueueSettings, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"milvus_coord.mq.{extra}", raising=False)
    with pytest.raises(QueueUnusable, match=rf"pip install 'milvus-coord\[{extra}\]'"):
        connect(settings)
    with pytest.raises(QueueUnusable, match=rf"pip install 'milvus-coord\[{extra}\]'"):
        check_client(settings)
    monkeypatch.undo()
    check_client(settings)


@pytest.mark.parametrize("url", ["ftp://p:1", "p:6650", ""])
async def test_an_address_that_is_none_of_pulsars(url: str) -> None:
    with pytest.raises(QueueUnusable, match="pulsar client refuses"):
        connect(PulsarSettings(url))


async def test_memory_says_that_nobody_sees_the_messages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    queue = connect(MemorySettings())
    assert isinstance(queue, MemoryQueue)
    for number in range(150):
        last = await queue.send("c", b"%d" % number)
    assert last == (149).to_bytes(8, "little")
    assert len(queue.sent["c"]) == 100, "it must not fill the memory"


@pytest.mark.parametrize(
    ("ledger", "entry", "data"),
    [
        (0, 0, "0800100018002000"),
        (12, 34, "080c102218002000"),
        (300, 2**40, "08ac0210808080808020" + "18002000"),
    ],
)
def test_position_of_pulsar_has_all_four_numbers(ledger: int, entry: int, data: str) -> None:
    assert position(ledger, entry).hex() == data
