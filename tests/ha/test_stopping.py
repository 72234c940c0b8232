"""Stopping: what runs is finished, a second signal does not wait, the service manager is told."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from testing.etcd import EtcdMember
from testing.grpc_wire import RpcFailed, unary
from testing.ours import OurRole
from tests.ha.conftest import StartRole, started_pair


async def heard(client: socket.socket, path: str) -> None:
    """Return when a request for `path` has come in; other ones come too, and none is answered."""
    server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    while True:
        data = await asyncio.get_running_loop().sock_recv(client, 65536)
        assert data, f"the client has gone without asking for {path}"
        for event in server.receive_data(data):
            if isinstance(event, RequestReceived) and (":path", path) in (event.headers or ()):
                return


@asynccontextmanager
async def a_running_call(etcd: EtcdMember, role: OurRole) -> AsyncIterator[asyncio.Task[Any]]:
    """A CheckHealth that waits three seconds for a proxy which takes connections and is mute."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.setblocking(False)
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        session = f'{{"ServerID":9,"ServerName":"proxy","Address":"{address}","Version":"2.2.16"}}'
        await etcd.ctl("put", "by-dev/meta/session/proxy-9", session)
        call = asyncio.create_task(
            unary(role.address, "rootcoord.RootCoord/CheckHealth", timeout_s=20)
        )
        asked, _ = await asyncio.get_running_loop().sock_accept(mute)
        try:
            await heard(asked, "/milvus.proto.proxy.Proxy/GetComponentStates")
            yield call
        finally:
            asked.close()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)


async def test_a_running_call_is_finished_before_the_key_is_given_away(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    async with a_running_call(etcd, active) as call:
        active.terminate()
        reply = await call
        assert reply.reasons[0].startswith("role proxy[nodeID: 9] is unhealthy")
    assert await active.wait_exit() == 0
    await standby.wait_active()


async def test_a_second_signal_does_not_wait_for_it(etcd: EtcdMember, rootcoord: StartRole) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    async with a_running_call(etcd, active) as call:
        active.terminate()
        await active.wait_line("Get signal to exit")
        assert active.running
        assert not call.done()
        active.terminate()
        with pytest.raises(RpcFailed) as refused:
            await call
        assert refused.value.status == Status.UNAVAILABLE.value
    assert await active.wait_exit() == 0
    assert active.lines("told twice to stop, not waiting for running requests")
    await standby.wait_active()


class Manager:
    """What systemd would hear."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def drain(self) -> int:
        """Hear what has been said since; how many messages."""
        count = 0
        while True:
            try:
                message = self._socket.recv(65536)
            except BlockingIOError:
                return count
            self.heard += message.decode().splitlines()
            count += 1

    async def hears(self, *lines: str, within_s: float = 20.0) -> None:
        async with asyncio.timeout(within_s):
            while not all(line in self.heard for line in lines):
                self.drain()
                await asyncio.sleep(0.01)

    async def silent_for(self, seconds: float) -> None:
        """Until nothing was said for so long."""
        async with asyncio.timeout(20):
            while True:
                self.drain()
                await asyncio.sleep(seconds)
                if self.drain() == 0:
                    return


async def test_service_manager_is_told(
    etcd: EtcdMember, rootcoord: StartRole, tmp_path: Path
) -> None:
    with Manager(tmp_path / "notify") as manager:
        role: OurRole = rootcoord(
            etcd.endpoints,
            env={"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"},
        )
        role.start()
        await manager.hears("READY=1", f"MAINPID={role.pid}", "STATUS=active, server id 1")
        manager.heard.clear()
        await manager.hears("WATCHDOG=1")
        role.pause()
        await manager.silent_for(1.0)
        role.resume()
        manager.heard.clear()
        await manager.hears("WATCHDOG=1")
        os.kill(role.pid, signal.SIGHUP)
        await manager.hears("RELOADING=1", "READY=1")
        role.terminate()
        await manager.hears("STOPPING=1")
        assert await role.wait_exit() == 0
