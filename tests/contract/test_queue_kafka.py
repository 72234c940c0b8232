"""What is Kafka's own: partitions, logins, and brokers that come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import KafkaError

from milvus_coord.mq.kafka import KafkaQueue
from milvus_coord.mq.queue import SEND_TIMEOUT_S, QueueError, QueueUnusable
from milvus_coord.mq.settings import KafkaSettings, Sasl
from testing.kafka_jvm import JvmKafka, Record, read_topic
from testing.rpc import eventually

pytestmark = pytest.mark.timeout(120)

LOGIN = ("milvus", "correct-horse-battery")
BOUND_S = SEND_TIMEOUT_S + 2
POLL_S = 0.01


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JvmKafka]:
    JvmKafka.skip_unless_there()
    broker = JvmKafka(tmp_path_factory.mktemp("kafka"))
    try:
        broker.serve()
        yield broker
    finally:
        broker.end()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JvmKafka]:
    """A broker that wants a login."""
    JvmKafka.skip_unless_there()
    broker = JvmKafka(tmp_path_factory.mktemp("guarded"), login=LOGIN)
    try:
        broker.serve()
        yield broker
    finally:
        broker.end()


@asynccontextmanager
async def opened(settings: KafkaSettings) -> AsyncIterator[KafkaQueue]:
    queue = KafkaQueue(settings)
    try:
        yield queue
    finally:
        await queue.close()


@pytest.fixture
async def queue(broker: JvmKafka) -> AsyncIterator[KafkaQueue]:
    async with opened(KafkaSettings(broker.address)) as queue:
        yield queue


async def records(broker: JvmKafka, topic: str) -> list[Record]:
    return await asyncio.to_thread(read_topic, broker.address, topic)


async def test_partition_zero_of_four_without_key_and_headers(
    broker: JvmKafka, queue: KafkaQueue
) -> None:
    positions = [await queue.send("four", b"%d" % number) for number in range(8)]
    assert positions[7] == bytes([7, 0, 0, 0, 0, 0, 0, 0])
    assert await records(broker, "four") == [
        Record(0, number, None, None, b"%d" % number) for number in range(8)
    ]


async def test_a_broker_that_restarts_loses_nothing_that_was_stored(
    broker: JvmKafka, queue: KafkaQueue
) -> None:
    stored: dict[bytes, bytes] = {}
    failed: list[float] = []
    enough = asyncio.Event()

    async def caller(name: str) -> None:
        number = 0
        while not enough.is_set():
            payload = f"{name} {number}".encode()
            number += 1
            began = time.monotonic()
            try:
                stored[await queue.send("restart", payload)] = payload
            except QueueError:
                failed.append(time.monotonic() - began)

    async def until_stored(more: int) -> None:
        deadline, wanted = time.monotonic() + 30, len(stored) + more
        while len(stored) < wanted:
            assert time.monotonic() < deadline, f"stuck at {len(stored)} of {wanted}"
            await asyncio.sleep(POLL_S)

    async with asyncio.TaskGroup() as tasks:
        for name in "abcd":
            tasks.create_task(caller(name), name=f"caller.{name}")
        await until_stored(100)
        await broker.stop(20)
        await broker.start_again()
        await until_stored(100)
        enough.set()
    assert all(waited < BOUND_S for waited in failed)
    found = {r.offset.to_bytes(8, "little"): r.value for r in await records(broker, "restart")}
    assert stored.items() <= found.items()


async def test_no_broker_at_start_is_trouble(
    broker: JvmKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    await broker.stop(20)
    patient, leaving = (KafkaQueue(KafkaSettings(broker.address)) for _ in range(2))
    dropped = [asyncio.create_task(leaving.send("trouble", b"dropped")) for _ in range(50)]
    began = time.monotonic()
    with pytest.raises(QueueError, match=r"topic trouble: .*timed out \(.*refused"):
        await patient.send("trouble", b"given up")
    assert time.monotonic() - began < BOUND_S
    dropped += [asyncio.create_task(leaving.send("trouble", b"dropped")) for _ in range(50)]
    await asyncio.sleep(0)
    began = time.monotonic()
    await leaving.close()
    assert time.monotonic() - began < 1
    outcomes = await asyncio.gather(*dropped, return_exceptions=True)
    assert all(isinstance(outcome, QueueError) for outcome in outcomes)

    await broker.start_again()
    deadline = time.monotonic() + 20
    while True:
        try:
            position = await patient.send("trouble", b"stored")
            break
        except QueueError:
            assert time.monotonic() < deadline
    await patient.close()
    assert position == bytes(8)
    assert [record.value for record in await records(broker, "trouble")] == [b"stored"]


def sasl(password: str) -> Sasl:
    return Sasl("SASL_PLAINTEXT", "PLAIN", LOGIN[0], password)


async def test_login(guarded: JvmKafka) -> None:
    async with opened(KafkaSettings(guarded.address, sasl(LOGIN[1]))) as queue:
        assert await queue.send("login", b"message") == bytes(8)


@pytest.mark.parametrize("login", [sasl("wrong"), None], ids=["wrong password", "none"])
async def test_no_login(guarded: JvmKafka, login: Sasl | None) -> None:
    async with opened(KafkaSettings(guarded.address, login)) as queue:
        began = time.monotonic()
        with pytest.raises(QueueError) as caught:
            await queue.send("login", b"message")
        assert time.monotonic() - began < BOUND_S
    if login is not None:
        assert "Authentication failed" in str(caught.value)
        assert "wrong" not in str(caught.value)


async def test_a_cause_is_not_hidden_by_its_symptom(
    guarded: JvmKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    down = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
    async with opened(KafkaSettings(guarded.address, sasl("wrong"))) as queue:
        sending = asyncio.create_task(queue.send("login", b"message"))
        await eventually(lambda: "Authentication failed" in queue._health.text)
        queue._on_error(down)
        with pytest.raises(QueueError, match=r"timed out .*Authentication failed"):
            await sending
    lines = [line for line in capsys.readouterr().out.splitlines() if "is in trouble" in line]
    assert len(lines) <= 2, lines


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("no.such.option", "1"), 'No such configuration property: "no.such.option"'),
        (("message.max.bytes", "x"), 'Invalid value for configuration property "message.max'),
    ],
)
async def test_settings_that_the_client_refuses(option: tuple[str, str], said: str) -> None:
    with pytest.raises(QueueUnusable, match=said):
        KafkaQueue(KafkaSettings("127.0.0.1:1", producer=(option,)))


async def test_the_users_settings_go_before_ours(broker: JvmKafka) -> None:
    settings = KafkaSettings(broker.address, producer=(("message.max.bytes", "1000"),))
    async with opened(settings) as queue:
        await queue.send("small", bytes(100))
        with pytest.raises(QueueError, match="size"):
            await queue.send("small", bytes(1001))
