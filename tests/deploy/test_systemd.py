"""The systemd unit: verified by systemd-analyze, and true to what the daemon does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
UNIT: Final = ROOT / "deploy" / "systemd" / "milvus@.service"


@pytest.fixture(scope="module")
def settings() -> dict[str, list[str]]:
    """Every `Key=value` of the unit, by key, in order."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"(?m)^(\w+)=(.*)$", UNIT.read_text()):
        found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a stand-in for a milvus that need not be installed here."""
    stand_in = tmp_path / "milvus"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/milvus", str(stand_in)))
    return unit


def analyze(*args: str) -> str:
    """What `systemd-analyze args...` says; empty from `verify` when nothing is wrong."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    done = subprocess.run([program, *args], capture_output=True, text=True, check=False, timeout=50)
    said = done.stdout + done.stderr
    assert done.returncode == 0 or said, f"systemd-analyze ended with {done.returncode}"
    return said


def test_verified(unit: Path) -> None:
    assert analyze("verify", "--man=no", str(unit)) == ""


@pytest.mark.parametrize(
    ("line", "wrong", "said"),
    [
        ("WatchdogSec=10s", "WatchdogSec=soon", "soon"),
        ("LockPersonality=yes", "LockPersonalty=yes", "LockPersonalty"),
        ("Type=notify", "Type=notfy", "notfy"),
    ],
)
def test_the_verifier_sees_a_mistake(unit: Path, line: str, wrong: str, said: str) -> None:
    text = unit.read_text()
    assert line in text
    unit.write_text(text.replace(line, wrong))
    assert said in analyze("verify", "--man=no", str(unit))


def test_little_is_exposed(unit: Path) -> None:
    said = analyze("security", "--no-pager", "--offline=true", str(unit))
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", said)
    if exposure is None:
        pytest.skip("systemd-analyze cannot judge a unit file: systemd 250 or newer does")
    assert float(exposure[1]) < 2.5


def test_runs_the_command_that_users_know(settings: dict[str, list[str]]) -> None:
    assert settings["ExecStart"] == ["/usr/bin/milvus run %i"]
    assert settings["Environment"] == ["MILVUSCONF=/etc/milvus/configs/"]
    assert settings["EnvironmentFile"] == ["-/etc/milvus/%i.env"]
    assert settings["User"] == ["milvus"]
    assert "-HUP" in settings["ExecReload"][0]


def test_is_watched_and_comes_back(settings: dict[str, list[str]]) -> None:
    assert (settings["Type"], settings["NotifyAccess"]) == (["notify"], ["main"])
    assert (settings["Restart"], settings["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert seconds(settings["WatchdogSec"]) > 0


def test_has_time_to_hand_over(settings: dict[str, list[str]]) -> None:
    shipped = yaml.safe_load((ROOT / "config" / "milvus.yaml").read_text())
    graceful_s = shipped["rootCoord"]["grpc"]["gracefulStopTimeout"]
    assert seconds(settings["TimeoutStopSec"]) > graceful_s


def seconds(values: list[str]) -> int:
    (value,) = values
    return int(value.removesuffix("s"))
