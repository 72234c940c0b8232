"""Texts that Go 2.2.16 starts with: so do we, with what Go goes on with and one warning each."""

from __future__ import annotations

from pathlib import Path

import pytest

from milvus_coord.cli.config_show import show
from milvus_coord.config import ConfigError, Loaded, Settings, load
from milvus_coord.config.section import leaves

LEAVES = {leaf.key: leaf for leaf in leaves(Settings)}
QUOTA = "quotaAndLimits"
MEMORY = f"{QUOTA}.limitWriting.memProtection"
GROWING = f"{QUOTA}.limitWriting.growingSegmentsSizeProtection"


def loaded(environ: dict[str, str]) -> Loaded:
    return load("rootcoord", environ=environ, cwd=Path("/nonexistent"))


def held(read: Loaded, key: str) -> object:
    return LEAVES[key].of(read.settings)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("etcd.endpoints", "a:1,,b:2", ("a:1", "b:2")),
        ("etcd.endpoints", "a:1, b:2,", ("a:1", "b:2")),
        ("etcd.endpoints", ",a:1", ("a:1",)),
        ("rootCoord.address", "", None),
        ("rootCoord.address", "0.0.0.0", None),
        ("rootCoord.address", "[::]:1", None),
        ("rootCoord.address", "host:0", None),
        ("rootCoord.address", "host:x", None),
        ("rootCoord.address", "tcp://10.0.0.1:1", None),
        ("rootCoord.address", "fd00::1", None),
        ("rootCoord.address", "[fd00::1", None),
        ("rootCoord.address", "[x]:1", None),
        ("log.level", "", "info"),
        ("log.stdout", "yes", True),
        ("log.file.maxSize", "0", 300),
        ("log.file.maxAge", "-1", 0),
        ("log.file.maxBackups", "-5", 0),
        ("mq.type", "rocksmq", "default"),
        ("mq.type", "", "default"),
        ("etcd.log.level", "warning", "info"),
        ("etcd.ssl.tlsMinVersion", "1.4", "1.3"),
        ("etcd.requestTimeout", "-1", 30_000),
        ("pulsar.port", "none", 6650),
        ("pulsar.tenant", "", "public"),
        ("pulsar.maxMessageSize", "5MB", 5 << 20),
        ("grpc.serverMaxRecvSize", "512MB", 512 << 20),
        ("grpc.serverMaxSendSize", "", 512 << 20),
        ("rootCoord.grpc.serverMaxRecvSize", "1GB", 512 << 20),
        ("rootCoord.grpc.gracefulStopTimeout", "30s", 30),
        ("rootCoord.grpc.gracefulStopTimeout", "-1", 0),
        ("common.gracefulStopTimeout", "-1", 0),
        ("common.session.retryTimes", "0", 30),
        ("METRICS_PORT", "http", 9091),
        ("proxy.timeTickInterval", "5", 10),
        ("proxy.timeTickInterval", "100000", 60_000),
        (f"{QUOTA}.quotaCenterCollectInterval", "0", 3.0),
        (f"{QUOTA}.quotaCenterCollectInterval", "-1", 3.0),
        (f"{QUOTA}.quotaCenterCollectInterval", "70000", 3.0),
        (f"{QUOTA}.limitReading.coolOffSpeed", "1.5", 0.9),
        (f"{QUOTA}.limitReading.queueProtection.nqInQueueThreshold", "-5", -1),
        (f"{QUOTA}.dml.insertRate.max", "inf", -1.0),
        (f"{QUOTA}.dml.insertRate.max", "6 MB/s", -1.0),
        (f"{QUOTA}.limitWriting.ttProtection.maxTimeTickDelay", "5min", 300.0),
        (f"{MEMORY}.dataNodeMemoryLowWaterLevel", "85", 0.85),
        (f"{GROWING}.minRateRatio", "0", 0.5),
    ],
)
def test_go_starts_with_it(key: str, text: str, value: object) -> None:
    read = loaded({key: text})
    assert held(read, key) == value
    (warning,) = read.warnings
    assert warning.startswith(f'{key} = "{text}" (environment variable {key}): must be ')
    assert warning in show(read)


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"etcd.log.level": "warning", "etcd.use.embed": "true"}, "etcd.log.level"),
        ({"pulsar.port": "none", "pulsar.address": "p"}, "pulsar.port"),
        ({"pulsar.tenant": "", "pulsar.address": "p"}, "pulsar.tenant"),
        (
            {f"{QUOTA}.dml.insertRate.max": "6 MB/s", f"{QUOTA}.dml.enabled": "true"},
            f"{QUOTA}.dml.insertRate.max",
        ),
        ({f"{QUOTA}.quotaCenterCollectInterval": "3s"}, f"{QUOTA}.quotaCenterCollectInterval"),
        ({f"{QUOTA}.limitReading.coolOffSpeed": "fast"}, f"{QUOTA}.limitReading.coolOffSpeed"),
        ({"grpc.serverMaxRecvSize": "0"}, "grpc.serverMaxRecvSize"),
        ({"etcd.endpoints": "a:1,,b"}, "etcd.endpoints"),
    ],
)
def test_go_panics_at_it_or_is_of_no_use_with_it(environ: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(environ)
    assert [problem.key for problem in caught.value.problems] == [key]


@pytest.mark.parametrize(
    ("low", "high", "levels"),
    [
        (f"{MEMORY}.dataNodeMemoryLowWaterLevel", "dataNodeMemoryHighWaterLevel", (0.85, 0.95)),
        (f"{MEMORY}.queryNodeMemoryLowWaterLevel", "queryNodeMemoryHighWaterLevel", (0.85, 0.95)),
        (f"{GROWING}.lowWaterLevel", "highWaterLevel", (0.2, 0.4)),
    ],
)
def test_levels_that_cross_are_both_put_back(
    low: str, high: str, levels: tuple[float, float]
) -> None:
    high = f"{low.rpartition('.')[0]}.{high}"
    read = loaded({low: "0.9", high: "0.5"})
    assert (held(read, low), held(read, high)) == levels
    (warning,) = read.warnings
    assert warning.startswith(f"{low} = 0.9 (environment variable {low}) and {high} = 0.5")
    equal = loaded({low: "0.5", high: "0.5"})
    assert (held(equal, low), held(equal, high)) == (0.5, 0.5)
    assert equal.warnings == ()


@pytest.mark.parametrize("text", ["1", "0", "-7", "2"])
def test_a_session_shorter_than_etcd_grants(text: str) -> None:
    settings, warnings = (read := loaded({"common.session.ttl": text})).settings, read.warnings
    assert (settings.common.session.ttl, settings.ha.serve_lease_ms) == (2, 666)
    assert len(warnings) == (1 if text == "2" else 2)
    assert warnings[-1].startswith("ha.serveLease is 666 ms: its default, 1000 ms, is not below")


def test_a_mended_value_comes_from_the_default() -> None:
    read = loaded({"log.level": "", "etcd.endpoints": "a:1,"})
    assert str(read.origins["log.level"]) == "built-in default"
    assert str(read.origins["etcd.endpoints"]) == "environment variable etcd.endpoints"


def test_a_mended_text_in_etcd_hides_what_is_in_the_environment() -> None:
    read = load(
        "rootcoord",
        environ={"METRICS_PORT": "0", "GRPC_SERVER_MAX_RECV_SIZE": "1000"},
        cwd=Path("/nonexistent"),
        overlay={"grpc/serverMaxRecvSize": "512MB"},
    )
    assert held(read, "grpc.serverMaxRecvSize") == 512 << 20
    assert "etcd by-dev/meta/config/grpc/serverMaxRecvSize" in read.warnings[0]
