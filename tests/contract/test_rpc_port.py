"""Reserving a port: refused before, served after, and who is in the way."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from milvus_coord.rpc.port import PortTaken, ReservedPort
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from testing.rpc import Probe, RawCodec, Served, ask, closing_channel, serving

_LISTEN_AND_WAIT = """
import socket, sys
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


def _server() -> RpcServer:
    return RpcServer(
        [Probe()], codec=RawCodec(), limits=Limits(), guards=Guards("by-dev", lambda: 1)
    )


async def test_refused_before_served_after() -> None:
    with ReservedPort.bind("127.0.0.1", 0) as reserved:
        _, port = reserved.address
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        server = _server()
        await server.listen(reserved)
        with closing_channel(Served(Probe(), server, port)) as channel:
            assert await ask(channel, "Echo", b"now") == b"now"
        await server.abort()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_every_interface_means_both_families(host: str) -> None:
    with ReservedPort.bind("", 0) as reserved:
        assert reserved.address[0] == "::"
        server = _server()
        await server.listen(reserved)
        _, writer = await asyncio.open_connection(host, reserved.address[1])
        writer.close()
        await writer.wait_closed()
        await server.abort()


async def test_without_ipv6_every_interface_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int = -1, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    with ReservedPort.bind("", 0) as reserved:
        assert reserved.address[0] == "0.0.0.0"


def test_a_listener_in_the_way_is_named() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _LISTEN_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        for host in ("127.0.0.1", ""):
            with pytest.raises(PortTaken) as taken:
                ReservedPort.bind(host, port)
            assert taken.value.port == port
            assert f"port {port} is taken: held by process {other.pid} (" in str(taken.value)
            assert "python" in taken.value.reason
        other.communicate()


async def test_our_own_server_in_the_way_is_named() -> None:
    async with serving() as served:
        with pytest.raises(PortTaken, match=f"process {os.getpid()} "):
            ReservedPort.bind("127.0.0.1", served.port)


async def test_of_two_reservations_the_second_fails_at_listen_and_may_try_again() -> None:
    with ReservedPort.bind("127.0.0.1", 0) as first:
        port = first.address[1]
        with ReservedPort.bind("127.0.0.1", port) as second:
            winner, loser = _server(), _server()
            await winner.listen(first)
            with pytest.raises(PortTaken, match=f"process {os.getpid()} "):
                await loser.listen(second)
            await winner.abort()
            await loser.listen(second)
            with closing_channel(Served(Probe(), loser, port)) as channel:
                assert await ask(channel, "Echo", b"mine") == b"mine"
            await loser.abort()


async def test_an_outgoing_connection_in_the_way_is_named() -> None:
    """The kernel may have lent our port to a client: coordinators' ports are in its range."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            port = client.getsockname()[1]
            with pytest.raises(PortTaken, match="an outgoing connection of process"):
                ReservedPort.bind("127.0.0.1", port)
        peer, _ = server.accept()
        peer.close()


def test_a_foreign_address_is_an_os_error_that_names_it() -> None:
    with pytest.raises(OSError, match=r"cannot bind 192\.0\.2\.1:53100: .*assign"):
        ReservedPort.bind("192.0.2.1", 53100)


def test_a_reservation_is_handed_over_once() -> None:
    reserved = ReservedPort.bind("127.0.0.1", 0)
    with reserved.take():
        with pytest.raises(RuntimeError, match="taken or closed"):
            reserved.take()
        reserved.close()
        assert "handed over" in repr(reserved)


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_check_tells_of_a_listener_that_came_later(host: str) -> None:
    with ReservedPort.bind(host, 0) as reserved:
        port = reserved.address[1]
        reserved.check()
        with (
            socket.create_server(("127.0.0.1", port)),
            pytest.raises(PortTaken, match=rf"port {port} is taken: held by .*{os.getpid()}"),
        ):
            reserved.check()
        reserved.check()
