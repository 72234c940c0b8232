"""What a process finds around itself: closed streams, odd signals, no folder, no time zone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testing.cli import milvus
from testing.etcd import EtcdMember
from testing.ours import OurRole
from testing.ports import free_ports
from tests.ha.conftest import StartRole

pytestmark = pytest.mark.etcd

ROOT = Path(__file__).parents[2]
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
STOPS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
ENDS = {
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    *(signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE),
    *(signal.SIGSEGV, signal.SIGSYS, signal.SIGSTKFLT),
}
"""What Go ends or stops by, too, or tells as a crash."""


PIPED, AWAY = "set -o pipefail", "--endpoints 127.0.0.1:1"
LOOK = """
from milvus_coord.runtime.surroundings import settle_daemon
settle_daemon()
import resource
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("milvus ", f"{sys.executable} -m milvus_coord ")
    return subprocess.run(
        ["bash", "-c", line],
        env={**ENV, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def logs_of(folder: Path) -> str:
    return "".join(file.read_text() for file in folder.glob("*.log"))


async def test_no_signal_that_go_drops_ends_it(etcd: EtcdMember, rootcoord: StartRole) -> None:
    role: OurRole = rootcoord(etcd.endpoints)
    role.start()
    await role.wait_active()
    known = [*range(1, 32), *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)]
    for number in known:
        if number not in STOPS | ENDS:
            os.kill(role.pid, number)
    await role.wait_line("reloaded on SIGHUP")
    assert await role.standing() == 200
    assert await role.stop() == 0


async def test_closed_streams_are_no_sockets(etcd: EtcdMember, tmp_path: Path) -> None:
    """Descriptors 1 and 2 would be the first sockets, into which prints go."""
    env = {
        "ETCD_ENDPOINTS": ",".join(etcd.endpoints),
        "LOG_FILE_ROOT_PATH": str(tmp_path),
        "MQ_TYPE": "memory",
        "ROOT_COORD_PORT": str(free_ports(1)[0]),
        "METRICS_PORT": "0",
    }
    line = f"exec {sys.executable} -m milvus_coord run rootcoord >&- 2>&- <&-"
    process = await asyncio.create_subprocess_exec("bash", "-c", line, env={**ENV, **env})
    try:
        async with asyncio.timeout(60):
            while "RootCoord Register Finished" not in logs_of(tmp_path):
                assert process.returncode is None, logs_of(tmp_path)
                await asyncio.sleep(0.05)
        streams = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in (0, 1, 2)]
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert streams == [os.devnull] * 3
    assert "Milvus components graceful stop done" in logs_of(tmp_path)


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    done = shell(f"mkdir {gone}; cd {gone}; rmdir {gone}; milvus run rootcoord")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "the working folder: start from one that exists" in done.stderr


@pytest.mark.parametrize(
    ("zone", "word"),
    [
        ("XXX25", "is no time zone"),
        ("XXX-99", "is no time zone"),
        *((passes, "") for passes in ("\udc80\udc81", ":/etc/passwd", "x" * 5000)),
    ],
)
async def test_an_odd_time_zone_is_told(etcd: EtcdMember, zone: str, word: str) -> None:
    said = await milvus("status", etcd=etcd.endpoints, env={"TZ": zone})
    assert said.code == 3
    assert "Traceback" not in said.err
    assert word in said.err


async def test_a_daemon_runs_in_an_odd_time_zone(etcd: EtcdMember, rootcoord: StartRole) -> None:
    role: OurRole = rootcoord(etcd.endpoints, env={"TZ": "XXX25"})
    role.start()
    await role.wait_active()
    assert role.lines("TZ='XXX25' is no time zone, times are in UTC")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("milvus ts 1 >/dev/full", 1, "milvus: cannot print: "),
        (f"{PIPED}; milvus --help | true", 141, ""),
        (f"{PIPED}; milvus config show rootcoord {AWAY} | true", 141, ""),
        ("PYTHONIOENCODING=ascii milvus status --endpoints 'h\u00f8st'", 2, ""),
    ],
)
def test_output_that_cannot_be_written(line: str, code: int, words: str) -> None:
    done = shell(line)
    assert (done.returncode, words in done.stderr) == (code, True), done
    assert "Traceback" not in done.stderr


def test_few_open_files_become_many() -> None:
    done = shell(f"ulimit -Sn 64; {sys.executable} -c '{LOOK}'")
    soft, hard = map(int, done.stdout.split())
    assert soft == min(hard, 1 << 20) > 64
