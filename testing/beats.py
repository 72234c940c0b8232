"""A server of beats in this process, or as one of its own: `python -m testing.beats PORT`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

from milvus_coord.rpc.heartbeat.message import Beat
from milvus_coord.rpc.heartbeat.service import BeatService
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.runtime.clock import Clock, SystemClock
from milvus_coord.runtime.parent_death import killed_with_parent
from milvus_coord.wire.codec import WireCodec

EVERY_S: Final = 0.01
ROOT: Final = Path(__file__).parents[1]


class Heart:
    """What a server of beats says: each beat has the number of those before it as its epoch."""

    def __init__(self) -> None:
        self.beats = 0

    def __call__(self) -> Beat:
        beat = Beat(server_id=7, epoch=self.beats, worst_lag_s=0.0125, unproven_s=0.25)
        self.beats += 1
        return beat


@contextlib.asynccontextmanager
async def serving_beats(
    now: Callable[[], Beat],
    *,
    clock: Clock | None = None,
    every_s: float = EVERY_S,
    tls: ServerTls | None = None,
    port: int = 0,
    services: tuple[Service, ...] | None = None,
) -> AsyncIterator[tuple[RpcServer, str]]:
    """A server on 127.0.0.1 and its address; `services` take the place of the health service."""
    server = RpcServer(
        (BeatService(clock or SystemClock(), every_s, now),) if services is None else services,
        codec=WireCodec(),
        limits=Limits(),
        guards=Guards("by-dev", lambda: 7),
        tls=tls,
    )
    with ReservedPort.bind("127.0.0.1", port) as reserved:
        await server.listen(reserved)
        try:
            yield server, f"127.0.0.1:{reserved.address[1]}"
        finally:
            await server.abort()


class BeatProcess:
    """A server of beats that can be stopped and killed; `address` is where it listens."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [*killed_with_parent(), sys.executable, "-m", "testing.beats", str(port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"serving\n"

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def beat_process(port: int) -> Iterator[BeatProcess]:
    """A BeatProcess that is gone afterwards."""
    process = BeatProcess(port)
    try:
        yield process
    finally:
        process.close()


async def _serve(port: int) -> None:
    async with serving_beats(Heart(), port=port):
        print("serving", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
