"""Hosts of their own on one machine: what is joined, what is cut, and that nothing is left."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.daemon import Daemon
from testing.etcd import binary
from tests.rig.netns import Host, Lan, Net, NoNamespaces

PORT = 15099
_SERVER = f"""
import os, socket
listening = socket.create_server(("", {PORT}))
print("pids", sorted(int(name) for name in os.listdir("/proc") if name.isdigit()), flush=True)
while True:
    listening.accept()[0].sendall(b"%d" % os.getpid())
"""


@pytest.fixture
def lan() -> Iterator[Lan]:
    try:
        with Lan() as made:
            yield made
    except NoNamespaces as why:
        pytest.skip(str(why))


@pytest.fixture
def server(lan: Lan, tmp_path: Path) -> Iterator[tuple[Host, Daemon]]:
    host = lan.host()
    daemon = host.house(Daemon("server", [sys.executable, "-uc", _SERVER], folder=tmp_path, env={}))
    yield host, daemon
    daemon.kill()


async def _hello(host: Host, within_s: float = 5.0) -> bytes:
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection(host.address, PORT)
        try:
            return await reader.read()
        finally:
            writer.close()


async def test_a_process_sees_its_host_alone_and_keeps_its_pid_outside(
    server: tuple[Host, Daemon],
) -> None:
    host, daemon = server
    daemon.start()
    line = await daemon.wait_line("^pids")
    inside = int(await _hello(host))
    assert line == f"pids [1, {inside}]"
    assert inside != daemon.pid
    daemon.kill()
    assert daemon.exit_code == -9
    daemon.start()
    await daemon.wait_line("^pids", after=len(line))
    daemon.terminate()
    assert await daemon.wait_exit() == -15


async def test_a_cut_host_is_silent_until_it_is_healed(server: tuple[Host, Daemon]) -> None:
    host, daemon = server
    daemon.start()
    await daemon.wait_line("^pids")
    host.cut(Net.ETCD)
    assert await _hello(host)  # the other network is untouched
    host.cut()
    with pytest.raises(TimeoutError):
        await _hello(host, within_s=0.5)
    host.heal()
    assert await _hello(host)


async def test_hosts_reach_an_etcd_over_the_network_of_etcd_alone(lan: Lan, tmp_path: Path) -> None:
    etcd, near, far = lan.etcd("solo", tmp_path / "etcd"), lan.host(), lan.host()
    try:
        await etcd.start()
        ask = [binary("etcdctl"), f"--endpoints={lan.etcd_endpoint(etcd)}", "get", "x"]
        ask += ["--dial-timeout=2s", "--command-timeout=2s"]

        async def answers(host: Host) -> bool:
            asking = await asyncio.create_subprocess_exec(
                *host.inside(ask), stderr=asyncio.subprocess.DEVNULL
            )
            return await asking.wait() == 0

        assert await answers(near)
        near.cut(Net.ETCD)
        assert not await answers(near)
        assert await answers(far)
    finally:
        etcd.kill()


async def test_nothing_is_left_of_a_lan(tmp_path: Path) -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    try:
        with Lan() as lan:
            daemon = lan.host().house(
                Daemon("sleeper", ["/bin/sleep", "60"], folder=tmp_path, env={})
            )
            daemon.start()
            assert os.readlink("/proc/thread-self/ns/net") != before
    except NoNamespaces as why:
        pytest.skip(str(why))
    assert os.readlink("/proc/thread-self/ns/net") == before
    assert await daemon.wait_exit() == -9  # with the first process of its namespace
    assert "br-etcd" not in os.listdir("/sys/class/net")
