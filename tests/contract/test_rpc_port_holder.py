"""Which process is behind an address, with real listeners; when in doubt, none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from milvus_coord.rpc.port_holder import listener_of, listens
from milvus_coord.runtime.addresses import first_ipv4
from milvus_coord.runtime.processes import outlive_pid
from testing.etcd import EtcdMember
from testing.go_milvus import GoMilvus, GoRole, Surroundings, Unavailable
from testing.ports import free_ports

LISTEN = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == socket.AF_INET6:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen()
print("listening", flush=True)
sys.stdin.read()
"""

StartListener = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_listener() -> Iterator[StartListener]:
    """Start processes that listen: `start_listener(host, port)`."""
    with contextlib.ExitStack() as stack:

        def start(host: str, port: int) -> subprocess.Popen[bytes]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", LISTEN, host, str(port)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            return process

        yield start


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


def own_address() -> str:
    address = first_ipv4()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    return address


def test_a_listener_is_found_by_its_own_address(start_listener: StartListener, port: int) -> None:
    process = start_listener("127.0.0.1", port)
    assert listener_of(f"127.0.0.1:{port}") == process.pid
    assert listens(process.pid, f"127.0.0.1:{port}")
    assert listener_of(f"127.0.0.1:{port + 1}") is None
    assert not listens(process.pid, f"127.0.0.1:{port + 1}")
    assert not listens(os.getpid(), f"127.0.0.1:{port}")


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_a_listener_on_every_interface_is_found_by_each_address(
    start_listener: StartListener, port: int, bound: str
) -> None:
    process = start_listener(bound, port)
    for host in ("127.0.0.1", "[::ffff:127.0.0.1]", own_address()):
        assert listener_of(f"{host}:{port}") == process.pid
    assert listener_of(f"[::1]:{port}") == (process.pid if bound == "::" else None)


def test_a_listener_of_ipv6(start_listener: StartListener, port: int) -> None:
    process = start_listener("::1", port)
    assert listener_of(f"[::1]:{port}") == process.pid
    assert listener_of(f"127.0.0.1:{port}") is None


def test_the_same_port_of_another_address_is_somebody_else_s(
    start_listener: StartListener, port: int
) -> None:
    """Its end would prove nothing about the one that is meant."""
    other, meant = start_listener("127.0.0.2", port), start_listener("127.0.0.1", port)
    assert listener_of(f"127.0.0.1:{port}") == meant.pid
    meant.kill()
    meant.wait()
    assert listener_of(f"127.0.0.1:{port}") is None
    assert listener_of(f"127.0.0.2:{port}") == other.pid
    assert not listens(other.pid, f"127.0.0.1:{port}")


def test_addresses_of_other_machines_and_nonsense_are_nobody(
    start_listener: StartListener, port: int
) -> None:
    start_listener("0.0.0.0", port)
    for host in ("192.0.2.1", "[2001:db8::1]", "localhost", "rootcoord", ""):
        assert listener_of(f"{host}:{port}") is None
    for address in ("", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http"):
        assert listener_of(address) is None


def test_a_port_that_is_bound_or_connected_alone_is_nobody(port: int) -> None:
    with socket.socket() as bound, socket.create_server(("127.0.0.1", 0)) as server:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after another test's calls
        bound.bind(("127.0.0.1", port))
        assert listener_of(f"127.0.0.1:{port}") is None
        bound.connect(server.getsockname())
        assert listener_of(f"127.0.0.1:{port}") is None


def test_a_socket_of_several_processes_proves_nothing(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        assert listener_of(f"127.0.0.1:{port}") == os.getpid()
        program = "import sys; sys.stdin.read()"
        heir = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, pass_fds=[server.fileno()]
        )
        try:
            assert listener_of(f"127.0.0.1:{port}") is None
        finally:
            heir.communicate()
        assert listener_of(f"127.0.0.1:{port}") == os.getpid()


def test_two_sockets_that_could_be_meant_prove_nothing(
    start_listener: StartListener, port: int
) -> None:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections linger
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(("127.0.0.1", port))
            each.listen()
        assert listener_of(f"127.0.0.1:{port}") == os.getpid()  # both are ours
    everybody = start_listener("0.0.0.0", port)
    with socket.socket() as mine:
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        assert listener_of(f"127.0.0.1:{port}") == everybody.pid


def test_only_a_program_of_the_name_that_is_asked_for(
    start_listener: StartListener, port: int
) -> None:
    process = start_listener("127.0.0.1", port)
    name = Path(f"/proc/{process.pid}/comm").read_text().strip()
    assert listener_of(f"127.0.0.1:{port}", program=name) == process.pid
    assert listener_of(f"127.0.0.1:{port}", program="milvus") is None


async def test_the_end_of_a_listener_is_seen(start_listener: StartListener, port: int) -> None:
    process, address = start_listener("127.0.0.1", port), f"127.0.0.1:{port}"
    pid = await asyncio.to_thread(listener_of, address)
    assert pid == process.pid
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(outlive_pid(pid, lambda: listens(pid, address)))
        await asyncio.sleep(0)
        assert not watching.done()
        process.kill()
    assert listener_of(address) is None


@pytest.mark.go
@pytest.mark.etcd
async def test_a_go_rootcoord_is_found_and_its_end_seen(etcd: EtcdMember, tmp_path: Path) -> None:
    try:
        milvus = GoMilvus.install()
    except Unavailable as reason:
        pytest.skip(str(reason))
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    around = Surroundings(etcd.endpoints, nobody, tmp_path / "storage")
    role = GoRole(milvus, "rootcoord", around, folder=tmp_path)
    role.start()
    try:
        address = f"{own_address()}:{role.port}"
        until_s = time.monotonic() + 20
        while listener_of(address, program="milvus") is None:
            assert time.monotonic() < until_s, role.log_file.read_text()[-2000:]
            assert role.running
            await asyncio.sleep(0.05)
        assert listener_of(address, program="milvus") == role.pid
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            pid = role.pid
            watching = tasks.create_task(outlive_pid(pid, lambda: listens(pid, address)))
            await asyncio.sleep(0)
            assert not watching.done()
            role.kill()
    finally:
        role.kill()
    assert listener_of(address) is None
