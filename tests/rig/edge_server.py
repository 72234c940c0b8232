"""The process that all edges of a rig run through, and the words by which it is told to cut them.

An edge listens as long as its target does, so that who dials a dead process is refused at once. It
is a process of its own so that nothing a test does can slow an edge down. Commands are JSON lines
on a Unix socket, each answered by one line: {"do": "open"|"set"|"carried", "edges": [...], ...}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop

LOOK_S: Final = 0.02
_NICENESS: Final = -10
_LISTENING: Final = "0A"
_RESET: Final = struct.pack("ii", 1, 0)
_SLOW_TAIL_S: Final = 0.001


@dataclass(slots=True)
class Flow:
    """One direction of an edge: what has passed, and whether and how late the rest may."""

    delay_s: float = 0.0
    carried_bytes: int = 0
    held_bytes: int = 0
    passing: asyncio.Event = field(default_factory=asyncio.Event)


class Lane:
    """One direction of one connection; bytes and the end come out in the order they came in."""

    def __init__(
        self, flow: Flow, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._flow, self._reader, self._writer = flow, reader, writer
        self._queue: deque[tuple[float, bytes]] = deque()
        self._filled = asyncio.Event()
        self.was_reset = False

    async def run(self) -> None:
        """Until the sender has closed and all it sent has passed."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._write())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        data = b"."
        while data:
            try:
                data = await self._reader.read(65536)
            except OSError:
                data, self.was_reset = b"", True
            self._flow.held_bytes += len(data)
            self._queue.append((loop.time() + self._flow.delay_s, data))
            self._filled.set()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                while not self._queue:
                    self._filled.clear()
                    await self._filled.wait()
                due_s, data = self._queue[0]
                if (left_s := due_s - loop.time()) > _SLOW_TAIL_S:
                    await asyncio.sleep(left_s)
                await self._flow.passing.wait()
                self._queue.popleft()
                self._flow.held_bytes -= len(data)
                if not data:
                    return
                self._flow.carried_bytes += len(data)
                with contextlib.suppress(OSError):
                    self._writer.write(data)
                    await self._writer.drain()
        finally:
            self._flow.held_bytes -= sum(len(data) for _, data in self._queue)


class Edge:
    """One port that leads to another."""

    def __init__(self, port: int, target: str) -> None:
        self._port = port
        host, _, target_port = target.rpartition(":")
        self._target = host, int(target_port)
        self.target_port = int(target_port)
        self.up, self.down = Flow(), Flow()
        self.up.passing.set()
        self.down.passing.set()
        self.refusing = False
        self._changing = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._joined: set[asyncio.Task[None]] = set()

    async def follow(self, listening: frozenset[int]) -> None:
        """Listen if the target does and we do not refuse, else do not."""
        async with self._changing:
            wanted = self.target_port in listening and not self.refusing
            if wanted and self._server is None:
                self._server = await asyncio.start_server(self._join, "127.0.0.1", self._port)
            elif not wanted and self._server is not None:
                self._server.close()
                self._server = None

    async def drop(self) -> None:
        """Reset all connections."""
        for task in self._joined:
            task.cancel()
        await asyncio.gather(*self._joined, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._joined.add(task)
        writers = [writer]
        reset = True
        try:
            if self.refusing:  # it was accepted just before
                return
            await self.up.passing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            writers.append(far_writer)
            reset = await self._carry((reader, far_writer), (far_reader, writer))
        except OSError:
            pass  # the target is gone: reset the near side
        finally:
            self._joined.discard(task)
            await self.follow(listening_ports())
            for each in writers:
                _close(each, reset=reset)

    async def _carry(
        self,
        up: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        down: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bool:
        """Until one side has closed and that has passed; whether by a reset."""
        lanes = [Lane(self.up, *up), Lane(self.down, *down)]
        running = {asyncio.create_task(lane.run()): lane for lane in lanes}
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return any(running[task].was_reset for task in done)


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Let what was written go out, or not."""
    transport = writer.transport
    if reset:
        with contextlib.suppress(OSError):
            end = transport.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()


def listening_ports() -> frozenset[int]:
    """The TCP ports on which somebody in our network namespace listens."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split(maxsplit=4)
                if fields[3] == _LISTENING:
                    found.add(int(fields[1].rpartition(":")[2], 16))
    return frozenset(found)


class Server:
    """All edges, and the one who commands them."""

    def __init__(self) -> None:
        self._edges: dict[str, Edge] = {}
        self.gone = asyncio.Event()

    async def look(self) -> None:
        """Keep every edge true to its target, for ever."""
        while True:
            listening = listening_ports()
            for edge in list(self._edges.values()):
                await edge.follow(listening)
            await asyncio.sleep(LOOK_S)

    async def obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the commander leaves."""
        while line := await reader.readline():
            answer = await self._do(json.loads(line))
            writer.write(json.dumps(answer).encode() + b"\n")
        self.gone.set()

    async def _do(self, command: dict[str, Any]) -> object:
        names = command["edges"]
        if command["do"] == "open":
            self._edges[names[0]] = Edge(command["port"], command["target"])
        edges = [self._edges[name] for name in names]
        if command["do"] == "carried":
            return [[each.up.carried_bytes, each.up.held_bytes] for each in edges]
        if command["do"] == "set":
            for edge in edges:
                await _set(edge, command)
        listening = listening_ports()
        for edge in edges:
            await edge.follow(listening)
        return True


async def _set(edge: Edge, command: dict[str, Any]) -> None:
    """{"up", "down": passes?, "delay_ms": each way, "refuse", "drop": reset what is open}."""
    for flow, key in ((edge.up, "up"), (edge.down, "down")):
        flow.delay_s = command["delay_ms"] / 1000
        (flow.passing.set if command[key] else flow.passing.clear)()
    edge.refusing = command["refuse"]
    if command["drop"]:
        await edge.follow(frozenset({edge.target_port}))
        await edge.drop()


async def _serve(path: str) -> None:
    server = Server()
    looking = asyncio.create_task(server.look())
    control = await asyncio.start_unix_server(server.obey, path)
    async with control:
        gone = asyncio.create_task(server.gone.wait())
        done, _ = await asyncio.wait([looking, gone], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    looking.cancel()


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):
        os.nice(_NICENESS)
    uvloop.run(_serve(sys.argv[1]))
