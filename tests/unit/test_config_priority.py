"""Which source a value comes from, and under which spellings."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from milvus_coord.config import Loaded, Settings, load
from milvus_coord.config.names import squash
from milvus_coord.config.section import Leaf, leaves

LEAVES = {leaf.key: leaf for leaf in leaves(Settings)}
LETTERS = "etcdkvlogmrpsuh_./ -TRUE0159:é"
WHOLE_KEYS = ["common.session.retryTimes", "etcd.requestTimeout", "log.file.maxSize"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "milvus.yaml"
    path.write_text("common:\n  session:\n    ttl: 30\n    retryTimes: 7\n")
    return path


def ttl(loaded: Loaded) -> tuple[int, str]:
    origin = loaded.origins["common.session.ttl"]
    return loaded.settings.common.session.ttl, str(origin)


def test_built_in_defaults_without_any_source(tmp_path: Path) -> None:
    loaded = load("rootcoord", environ={}, cwd=tmp_path)
    assert loaded.file is None
    assert loaded.settings == Settings()
    assert ttl(loaded) == (20, "built-in default")


def test_file_over_default(file: Path) -> None:
    assert ttl(load("rootcoord", config=file, environ={})) == (30, f"file {file} line 3")


def test_environment_over_file(file: Path) -> None:
    loaded = load("rootcoord", config=file, environ={"COMMON_SESSION_TTL": "40"})
    assert ttl(loaded) == (40, "environment variable COMMON_SESSION_TTL")
    assert loaded.settings.common.session.retry_times == 7


def test_overlay_over_environment(file: Path) -> None:
    loaded = load(
        "rootcoord",
        config=file,
        environ={"COMMON_SESSION_TTL": "40"},
        overlay={"common/session/ttl": "50"},
    )
    assert ttl(loaded) == (50, "etcd by-dev/meta/config/common/session/ttl")


def test_the_overlay_is_named_by_the_root_in_force(tmp_path: Path) -> None:
    loaded = load(
        "rootcoord",
        environ={"ETCD_ROOT_PATH": "/prod/", "ETCD_META_SUB_PATH": "m"},
        cwd=tmp_path,
        overlay={"Common.Session.TTL": "50"},
    )
    assert ttl(loaded) == (50, "etcd /prod/m/config/Common.Session.TTL")


def test_etcd_keys_cannot_come_from_etcd(tmp_path: Path) -> None:
    loaded = load("rootcoord", environ={}, cwd=tmp_path, overlay={"etcd/rootPath": "elsewhere"})
    assert loaded.settings.etcd.root_path == "by-dev"
    assert loaded.warnings == (
        "etcd.rootPath is ignored in etcd by-dev/meta/config/etcd/rootPath: "
        "it is needed to reach etcd, so it cannot come from there",
    )


@given(st.sampled_from(WHOLE_KEYS), st.booleans(), st.randoms(use_true_random=False))
def test_any_spelling_of_a_key_is_found(key: str, prefixed: bool, random: Random) -> None:
    name = "milvus." if prefixed else ""
    for char in key.replace(".", ""):
        name += random.choice(["", "", "_", ".", "/", "__"])
        name += char.upper() if random.random() < 0.5 else char.lower()
    loaded = load("rootcoord", environ={name: "4711"}, cwd=Path("/nonexistent"))
    assert LEAVES[key].of(loaded.settings) == 4711
    assert loaded.origins[key].name == name


@given(st.dictionaries(st.text(LETTERS), st.text(LETTERS), max_size=20))
def test_other_variables_change_nothing(environ: dict[str, str]) -> None:
    known = {squash(key) for key in LEAVES} | {"milvusconf"}
    others = {name: text for name, text in environ.items() if squash(name) not in known}
    loaded = load("rootcoord", environ=others, cwd=Path("/nonexistent"))
    assert loaded.settings == Settings()
    assert not loaded.warnings


@pytest.mark.parametrize("name", ["MILVUS_COMMON_SESSION_TTL", "COMMON-SESSION-TTL", "TTL"])
def test_spellings_that_are_not_the_key(name: str, tmp_path: Path) -> None:
    assert ttl(load("rootcoord", environ={name: "40"}, cwd=tmp_path))[0] == 20


def test_a_service_link_is_no_port(file: Path) -> None:
    link = {"ROOTCOORD_PORT": "tcp://10.0.0.1:53100", "METRICS_PORT": "udp://10.0.0.2:9"}
    loaded = load("rootcoord", config=file, environ=link)
    assert loaded.settings.role("rootcoord").port == 53100
    assert loaded.settings.metrics_port == 9091
    assert loaded.warnings == (
        "environment variable ROOTCOORD_PORT is ignored for rootCoord.port: tcp://10.0.0.1:53100 "
        "is the address of a service, injected by the container platform",
        "environment variable METRICS_PORT is ignored for METRICS_PORT: udp://10.0.0.2:9 "
        "is the address of a service, injected by the container platform",
    )


def test_a_service_link_hides_no_real_port(tmp_path: Path) -> None:
    environ = {"ROOT_COORD_PORT": "1234", "ROOTCOORD_PORT": "tcp://10.0.0.1:53100"}
    assert load("rootcoord", environ=environ, cwd=tmp_path).settings.role("rootcoord").port == 1234


def test_the_later_of_two_variables_wins_with_a_warning(tmp_path: Path) -> None:
    environ = {
        "ROOT_COORD_PORT": "1",
        "rootCoord.port": "2",
        "LOG_LEVEL": "warn",
        "log_level": "warn",
    }
    loaded = load("rootcoord", environ=environ, cwd=tmp_path)
    assert loaded.settings.role("rootcoord").port == 2
    assert loaded.warnings == (
        "environment variables ROOT_COORD_PORT and rootCoord.port both set rootCoord.port "
        "and differ; rootCoord.port is used",
    )


def test_an_empty_variable_is_an_empty_value(tmp_path: Path) -> None:
    (tmp_path / "milvus.yaml").write_text("log:\n  file:\n    rootPath: /var/log/milvus\n")
    loaded = load("rootcoord", config=tmp_path, environ={"LOG_FILE_ROOT_PATH": ""})
    assert loaded.settings.log.file.root_path == ""


def test_an_empty_metrics_port_is_not_set(tmp_path: Path) -> None:
    loaded = load("rootcoord", environ={"METRICS_PORT": ""}, cwd=tmp_path)
    assert loaded.settings.metrics_port == 9091
    assert load("rootcoord", environ={"METRICS_PORT": "0"}, cwd=tmp_path).settings.metrics_port == 0


def test_metrics_port_is_read_from_the_environment_alone(tmp_path: Path) -> None:
    (tmp_path / "milvus.yaml").write_text("metricsPort: 1\n")
    loaded = load("rootcoord", config=tmp_path, environ={}, overlay={"METRICS_PORT": "2"})
    assert loaded.settings.metrics_port == 9091


OLDER = "msgChannel.chanNamePrefix.cluster"


@pytest.mark.parametrize("older_in", ["file", "environment", "etcd"])
@pytest.mark.parametrize("newer_in", ["file", "environment", "etcd"])
def test_msg_channel_wins_from_every_source(older_in: str, newer_in: str, tmp_path: Path) -> None:
    texts: dict[str, dict[str, str]] = {"file": {}, "environment": {}, "etcd": {}}
    texts[older_in][OLDER] = "older"
    texts[newer_in]["common.chanNamePrefix.cluster"] = "newer"
    (tmp_path / "milvus.yaml").write_text("".join(f"{k}: {v}\n" for k, v in texts["file"].items()))
    loaded = load("rootcoord", config=tmp_path, environ=texts["environment"], overlay=texts["etcd"])
    common = loaded.settings.common
    assert common.chan_name_prefix.cluster == "older"
    assert common.channel("root_coord_time_tick") == "older-rootcoord-timetick"
    assert loaded.origins["common.chanNamePrefix.cluster"].source == older_in


def test_every_key_can_be_set_by_its_usual_variable(tmp_path: Path) -> None:
    def legal(leaf: Leaf) -> str:
        match leaf.default:
            case None:
                return "7"
            case bool(flag):
                return str(flag)
            case tuple(several):
                return ",".join(several)
            case SecretStr():
                return "secret"
            case value:
                return str(value)

    def variable(key: str) -> str:
        return re.sub("(?<=[a-z])(?=[A-Z])", "_", key).replace(".", "_").upper()

    environ = {variable(key): legal(leaf) for key, leaf in LEAVES.items()}
    loaded = load("rootcoord", environ=environ, cwd=tmp_path)
    assert {key: origin.name for key, origin in loaded.origins.items()} == {
        key: variable(
            older if (older := key.replace("common.chan", "msgChannel.chan")) in LEAVES else key
        )
        for key in LEAVES
    }
