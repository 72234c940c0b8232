"""The Compose file: the pair that Milvus' documentation describes, accepted by docker-compose."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
HERE: Final = ROOT / "deploy" / "compose"
FILE: Final = HERE / "docker-compose.yml"
BACKENDS: Final = ("etcd", "minio", "pulsar")
PAIR: Final = ("rootcoord", "rootcoord-1")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    return found


@pytest.mark.parametrize("name", PAIR)
def test_a_coordinator_as_documented(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["container_name"] == f"milvus-{name}"
    assert service["command"] == ["milvus", "run", "rootcoord"]
    assert service["environment"] == {
        "ETCD_ENDPOINTS": "etcd:2379",
        "MINIO_ADDRESS": "minio:9000",
        "PULSAR_ADDRESS": "pulsar://pulsar:6650",
        "ROOT_COORD_ADDRESS": f"{name}:53100",
        "ROOT_COORD_ENABLE_ACTIVE_STANDBY": "true",
    }
    assert set(service["depends_on"]) == set(BACKENDS)
    assert (HERE / service["build"]["context"] / "Dockerfile").exists()


@pytest.mark.parametrize("name", PAIR)
def test_a_coordinator_has_time_to_hand_over(services: dict[str, Any], name: str) -> None:
    grace = re.fullmatch(r"(\d+)s", services[name]["stop_grace_period"])
    assert grace
    shipped = yaml.safe_load((ROOT / "config" / "milvus.yaml").read_text())
    assert int(grace[1]) > shipped["rootCoord"]["grpc"]["gracefulStopTimeout"]


def test_every_service_comes_back_and_tells_its_health(services: dict[str, Any]) -> None:
    assert set(services) == {*BACKENDS, *PAIR}
    assert all(service["restart"] == "always" for service in services.values())
    for name in BACKENDS:
        assert services[name]["healthcheck"]["test"][0] == "CMD"
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "\nHEALTHCHECK " in dockerfile, "the coordinators' check is their image's"


def test_images_are_pinned(services: dict[str, Any]) -> None:
    images = {name: services[name]["image"].rpartition(":")[2] for name in BACKENDS}
    assert "latest" not in images.values()
    version = tuple(int(part) for part in images["etcd"].removeprefix("v").split("."))
    assert (3, 5, 28) <= version < (3, 6, 0)


def test_environment_holds_only_text(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for key, value in service["environment"].items():
            assert isinstance(value, str), f"{name}: {key} needs quotes"


def test_docker_compose_accepts_it() -> None:
    engine = shutil.which("docker-compose")
    if engine is None:
        pytest.skip("no docker-compose: apt-get install docker-compose")
    done = subprocess.run(
        [engine, "--file", str(FILE), "config"],
        env={"PATH": os.environ["PATH"], "HOME": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    resolved = yaml.safe_load(done.stdout)["services"]
    assert resolved["rootcoord-1"]["environment"]["ROOT_COORD_ENABLE_ACTIVE_STANDBY"] == "true"
    assert resolved["rootcoord"]["build"]["context"] == str(ROOT)
