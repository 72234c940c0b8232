"""`milvus config show`: what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from milvus_coord.cli.config_show import show
from milvus_coord.cli.output import FORMATS
from milvus_coord.config import Loaded, load

PASSWORD = "correct-horse-battery"


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "milvus.yaml").write_text(
        "rootCoord:\n  address: localhost\n  port: 53100\nlog:\n  level: debug\n"
    )
    return load(
        "rootcoord",
        config=tmp_path,
        environ={
            "ETCD_ENDPOINTS": "etcd-0:2379,etcd-1:2379",
            "ETCD_AUTH_ENABLED": "true",
            "ETCD_AUTH_USER_NAME": "root",
            "ETCD_AUTH_PASSWORD": PASSWORD,
            "ROOTCOORD_PORT": "tcp://10.0.0.1:53100",
        },
        overlay={"common/session/ttl": "12"},
    )


def rows(text: str) -> dict[str, list[str]]:
    table = (line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != " ")
    return {key: rest for key, *rest in table}


def test_table(loaded: Loaded, tmp_path: Path) -> None:
    text = show(loaded)
    table = {key: " ".join(" ".join(rest).split()) for key, rest in rows(text).items()}
    assert text.splitlines()[0] == f"rootcoord, {tmp_path}/milvus.yaml"
    assert table["KEY"] == "VALUE FROM"
    assert table["etcd.endpoints"] == (
        "etcd-0:2379,etcd-1:2379 $ETCD_ENDPOINTS (default localhost:2379)"
    )
    assert table["common.session.ttl"] == (
        "12 s etcd by-dev/meta/config/common/session/ttl (default 20 s)"
    )
    assert table["rootCoord.port"] == "53100 file, line 3"
    assert table["log.level"] == "debug file, line 5 (default info)"
    assert table["grpc.serverMaxRecvSize"] == "536870912 bytes (512 MiB) -"
    assert table["rootCoord.grpc.serverMaxRecvSize"] == "(as grpc.serverMaxRecvSize) -"
    assert table["rootCoord.address"] == "(first address of this host) -"
    assert table["etcd.auth.password"] == "****** $ETCD_AUTH_PASSWORD"
    assert table["METRICS_PORT"] == "9091 -"


def test_columns_are_aligned(loaded: Loaded) -> None:
    lines = show(loaded).splitlines()
    head = next(line for line in lines if line.startswith("KEY"))
    column = head.index("VALUE")
    body = lines[lines.index(head) : lines.index("Warnings:")]
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in body if line)
    assert not any(line.endswith(" ") for line in lines)


def test_only_what_this_role_reads(loaded: Loaded) -> None:
    text = show(loaded)
    for absent in ("dataCoord", "queryCoord", "indexCoord", "msgChannel"):
        assert absent not in text


def test_warnings_and_ignored_things_are_at_the_end(loaded: Loaded, tmp_path: Path) -> None:
    _, _, end = show(loaded).partition("\nWarnings:\n")
    assert end == (
        f"  {loaded.warnings[0]}\n"
        "\n"
        "Ignored:\n"
        f"  rootCoord.address is ignored in file {tmp_path}/milvus.yaml line 2: Milvus ships "
        "localhost there and never reads it; set it by environment or etcd\n"
    )


def test_without_a_file(tmp_path: Path) -> None:
    text = show(load("datacoord", environ={}, cwd=tmp_path))
    assert text.startswith("datacoord, no configuration file\n")
    assert "dataCoord.port" in text
    assert "Warnings" not in text
    assert "Ignored" not in text


def test_older_names_are_shown_when_set(tmp_path: Path) -> None:
    environ = {"MSGCHANNEL_CHANNAMEPREFIX_CLUSTER": "old"}
    table = rows(show(load("rootcoord", environ=environ, cwd=tmp_path)))
    for section in ("common", "msgChannel"):
        assert table[f"{section}.chanNamePrefix.cluster"][0].split()[:2] == [
            "old",
            "$" + next(iter(environ)),
        ]


def test_json(loaded: Loaded, tmp_path: Path) -> None:
    report = json.loads(show(loaded, "json"))
    assert report["role"] == "rootcoord"
    assert report["file"] == f"{tmp_path}/milvus.yaml"
    settings = report["settings"]
    assert settings["etcd.endpoints"] == {
        "value": ["etcd-0:2379", "etcd-1:2379"],
        "source": "environment",
        "name": "ETCD_ENDPOINTS",
        "line": None,
    }
    assert settings["log.level"] == {
        "value": "debug",
        "source": "file",
        "name": f"{tmp_path}/milvus.yaml",
        "line": 5,
    }
    assert settings["rootCoord.address"]["value"] is None
    assert settings["etcd.auth.password"]["value"] == "******"
    assert len(report["warnings"]) == len(report["notes"]) == 1


@pytest.mark.parametrize("output", FORMATS)
def test_secrets_are_masked(loaded: Loaded, output: str) -> None:
    assert PASSWORD not in show(loaded, output)


def test_control_characters_reach_no_terminal(tmp_path: Path) -> None:
    text = show(load("rootcoord", environ={"LOG_FILE_ROOT_PATH": "a\x1b[2J\nb"}, cwd=tmp_path))
    assert '"a\\u001b[2J\\nb"' in text
