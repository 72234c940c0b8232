"""The message queue in the configuration: which one, how to reach it, and when none is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from milvus_coord.app.queue import queue_settings
from milvus_coord.cli.config_show import show
from milvus_coord.config import ConfigError, Loaded, check_start, load
from milvus_coord.mq.settings import KafkaSettings, MemorySettings, PulsarSettings, Sasl

PASSWORD = "correct-horse-battery"


def loaded(**environ: str) -> Loaded:
    return load("rootcoord", environ=environ, cwd=Path("/nonexistent"))


def in_file(tmp_path: Path, text: str, **environ: str) -> Loaded:
    (tmp_path / "milvus.yaml").write_text(text)
    return load("rootcoord", config=tmp_path, environ=environ)


def refused(read: Loaded) -> str:
    with pytest.raises(ConfigError) as caught:
        check_start(read)
    [problem] = caught.value.problems
    return str(problem)


def test_no_queue_names_both_keys_and_what_to_set() -> None:
    assert refused(loaded()) == (
        'kafka.brokerList = "" (built-in default): rootcoord needs a message queue: set this to '
        "Kafka's brokers (host:port,...) or pulsar.address to Pulsar's host; mq.type = memory "
        'will do for a demonstration; pulsar.address = "" (built-in default)'
    )


@pytest.mark.parametrize(
    ("queue", "other", "key"),
    [("kafka", "PULSAR_ADDRESS", "kafka.brokerList"), ("pulsar", "KAFKA_BROKER_LIST", "pulsar.a")],
)
def test_a_queue_that_is_asked_for_needs_its_address(queue: str, other: str, key: str) -> None:
    line = refused(loaded(MQ_TYPE=queue, **{other: "there:1"}))
    assert line.startswith(key)
    assert line.endswith(f"; mq.type = {queue} (environment variable MQ_TYPE)")


def test_other_roles_need_no_queue() -> None:
    check_start(load("datacoord", environ={}, cwd=Path("/nonexistent")))


def test_the_overlay_may_bring_the_queue() -> None:
    overlay = {"kafka/brokerList": "k:9092"}
    read = load("rootcoord", environ={}, cwd=Path("/nonexistent"), overlay=overlay)
    check_start(read)
    assert queue_settings(read.settings) == KafkaSettings("k:9092")


def test_pulsar_goes_before_kafka_unless_asked() -> None:
    both = {"PULSAR_ADDRESS": "p", "KAFKA_BROKER_LIST": "k:9092"}
    assert loaded(**both).settings.queue == "pulsar"
    assert loaded(**both, MQ_TYPE="kafka").settings.queue == "kafka"
    assert loaded(**both, MQ_TYPE="memory").settings.queue == "memory"
    assert queue_settings(loaded(MQ_TYPE="memory").settings) == MemorySettings()
    assert queue_settings(loaded().settings) is None


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"PULSAR_ADDRESS": "pulsar-proxy"}, "pulsar://pulsar-proxy:6650"),
        ({"PULSAR_ADDRESS": "p", "PULSAR_PORT": "1"}, "pulsar://p:1"),
        ({"PULSAR_ADDRESS": "p", "PULSAR_PORT": "tcp://10.0.0.1:6650"}, "pulsar://p:6650"),
        ({"PULSAR_ADDRESS": "pulsar+ssl://p:6651", "PULSAR_PORT": "1"}, "pulsar+ssl://p:6651"),
    ],
)
def test_url_of_pulsar(environ: dict[str, str], url: str) -> None:
    found = queue_settings(loaded(**environ).settings)
    assert isinstance(found, PulsarSettings)
    assert (found.url, found.tenant, found.namespace) == (url, "public", "default")


@pytest.mark.parametrize(
    ("plugin", "params", "text"),
    [
        ("token", "token:a.b.c", "token:a.b.c"),
        ("tls", "tlsCertFile:/a,tlsKeyFile:/b", "tlsCertFile:/a,tlsKeyFile:/b"),
        ("basic", "username:u,password:p", '{"username": "u", "password": "p"}'),
        (
            "oauth2",
            "issuer_url:https://x:1/y,type:z",
            '{"issuer_url": "https://x:1/y", "type": "z"}',
        ),
        ("oauth2", '{"a":"b"}', '{"a":"b"}'),
        (
            "org.apache.pulsar.client.impl.auth.AuthenticationBasic",
            "username:u",
            '{"username": "u"}',
        ),
    ],
)
def test_login_of_pulsar(plugin: str, params: str, text: str) -> None:
    read = loaded(PULSAR_ADDRESS="p", PULSAR_AUTH_PLUGIN=plugin, PULSAR_AUTH_PARAMS=params)
    found = queue_settings(read.settings)
    assert isinstance(found, PulsarSettings)
    assert (found.auth_plugin, found.auth_params) == (plugin, text)


def test_login_of_kafka() -> None:
    environ = {"KAFKA_BROKER_LIST": "k:9092", "KAFKA_SASL_USERNAME": "milvus"}
    found = queue_settings(loaded(**environ, KAFKA_SASL_PASSWORD=PASSWORD).settings)
    assert isinstance(found, KafkaSettings)
    assert found.sasl == Sasl("SASL_SSL", "PLAIN", "milvus", PASSWORD)
    assert PASSWORD not in repr(found)
    with pytest.raises(ConfigError, match=r"kafka\.saslPassword .* must be set; kafka\.saslUsern"):
        loaded(**environ)
    with pytest.raises(ConfigError, match=r"kafka\.saslUsername = .* must be set"):
        loaded(KAFKA_BROKER_LIST="k:9092", KAFKA_SASL_PASSWORD=PASSWORD)


OPTIONS = f"""\
kafka:
  brokerList: k:9092
  producer:
    client.id: dc
    linger.ms: 5
    ssl:
      ca.location: /etc/ca.pem
      key.password: {PASSWORD}
  consumer: {{client.id: dc1}}
"""


def test_settings_of_librdkafka_from_all_sources(tmp_path: Path) -> None:
    (tmp_path / "milvus.yaml").write_text(OPTIONS)
    read = load(
        "rootcoord",
        config=tmp_path,
        environ={"KAFKA_PRODUCER_LINGER_MS": "6", "kafka.producer.acks": "all"},
        overlay={"kafka/producer/client/id": "over"},
    )
    found = queue_settings(read.settings)
    assert isinstance(found, KafkaSettings)
    assert dict(found.producer) == {
        "client.id": "over",
        "linger.ms": "6",
        "acks": "all",
        "ssl.ca.location": "/etc/ca.pem",
        "ssl.key.password": PASSWORD,
    }
    assert str(read.origins["kafka.producer.linger.ms"]).endswith("KAFKA_PRODUCER_LINGER_MS")
    assert read.origins["kafka.producer.ssl.ca.location"].line == 7


@pytest.mark.parametrize("output", ["table", "json"])
def test_they_are_shown_but_not_their_secrets(tmp_path: Path, output: str) -> None:
    read = in_file(tmp_path, OPTIONS)
    text = show(read, output)
    assert PASSWORD not in text + repr(read)
    if output == "json":
        table = json.loads(text)["settings"]
        assert table["kafka.producer.linger.ms"]["value"] == "5"
        assert table["kafka.producer.ssl.key.password"]["value"] == "******"
    else:
        assert "kafka.producer.linger.ms 5 file, line 5" in " ".join(text.split())


@pytest.mark.parametrize("text", ["kafka: {producer: x}", "kafka: {producer: [a, b]}"])
def test_a_section_of_them_is_no_single_value(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.producer .*must be a section of keys"):
        in_file(tmp_path, text)


def test_an_empty_section_of_them_is_nothing(tmp_path: Path) -> None:
    read = in_file(tmp_path, "kafka: {brokerList: 'k:1', producer: {}, consumer: }")
    assert queue_settings(read.settings) == KafkaSettings("k:1")


def test_variables_of_a_service_are_no_settings() -> None:
    link = {"PORT": "tcp://10.0.0.1:9092", "SERVICE_HOST": "10.0.0.1", "PORT_9092_TCP_ADDR": "x"}
    environ = {f"KAFKA_PRODUCER_{name}": text for name, text in link.items()}
    assert queue_settings(loaded(KAFKA_BROKER_LIST="k:1", **environ).settings) == KafkaSettings(
        "k:1"
    )
