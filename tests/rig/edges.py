"""Edges between processes, of which each may be cut, held, delayed or refused: the test's side."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testing.daemon import POLL_S, Daemon
from testing.ports import free_ports

_ROOT = Path(__file__).parents[2]


class Edges:
    """The process with all edges: `async with Edges(folder) as edges: await edges.open(...)`."""

    def __init__(self, folder: Path) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="edges-")  # a short path, as it must be
        self._path = Path(self._scratch.name, "control")
        argv = [sys.executable, "-m", "tests.rig.edge_server", str(self._path)]
        self._daemon = Daemon("edges", argv, folder=folder, env={"PYTHONPATH": str(_ROOT)})
        self._turn = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Edges:
        self._daemon.start()
        deadline = time.monotonic() + 10
        while self._writer is None:
            try:
                self._reader, self._writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                self._daemon.check(self._daemon.running, "ended")
                self._daemon.check(time.monotonic() < deadline, "does not listen")
                await asyncio.sleep(POLL_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        await self._daemon.stop()
        self._scratch.cleanup()

    async def open(self, name: str, target: str) -> Edge:
        """An edge to `target` (`host:port`), which need not listen yet."""
        (port,) = free_ports(1)
        await self.command("open", [name], port=port, target=target)
        return Edge(self, (name,), f"127.0.0.1:{port}")

    async def command(self, verb: str, names: Sequence[str], **fields: object) -> Any:
        """One command, once it is carried out."""
        assert self._reader is not None
        assert self._writer is not None
        async with self._turn:
            self._writer.write(json.dumps({"do": verb, "edges": names, **fields}).encode() + b"\n")
            line = await self._reader.readline()
        self._daemon.check(bool(line), f"does not answer to {verb}")
        return json.loads(line)


class Edge:
    """One edge, or several treated as one. "Up" is from who dials to who listens.

    `endpoint` is what to dial in place of the target.
    """

    def __init__(self, edges: Edges, names: tuple[str, ...], endpoint: str = "") -> None:
        self._edges, self.names = edges, names
        self.endpoint = endpoint
        self.members: tuple[Edge, ...] = ()

    def and_(self, *others: Edge) -> Edge:
        """This and others as one."""
        members = (self, *others)
        together = Edge(self._edges, tuple(name for each in members for name in each.names))
        together.members = members
        return together

    async def cut(self) -> None:
        """A pulled cable: nothing passes, nobody is told."""
        await self._set(up=False, down=False)

    async def hold(self, *, up: bool = False, down: bool = False) -> None:
        """Keep back what goes in these directions; `heal` lets it all go on its way."""
        await self._set(up=not up, down=not down)

    async def delay(self, ms: float) -> None:
        """All that is sent from now on arrives so much later, in each direction."""
        await self._set(delay_ms=ms)

    async def refuse(self) -> None:
        """Reset what is open, refuse what is dialled."""
        await self._set(refuse=True, drop=True)

    async def heal(self, *, drop: bool = False) -> None:
        """As at first; what was kept back goes on its way, or with `drop` is lost with a reset."""
        if drop:
            await self._set(up=False, down=False, drop=True)
        await self._set()

    async def held_bytes(self) -> int:
        """How much of what goes up is kept back now."""
        found = await self._edges.command("carried", self.names)
        return sum(held for _, held in found)

    async def carried_bytes(self) -> list[int]:
        """How much has gone up, for each member."""
        found = await self._edges.command("carried", self.names)
        return [carried for carried, _ in found]

    async def _set(
        self,
        *,
        up: bool = True,
        down: bool = True,
        delay_ms: float = 0,
        refuse: bool = False,
        drop: bool = False,
    ) -> None:
        await self._edges.command(
            "set", self.names, up=up, down=down, delay_ms=delay_ms, refuse=refuse, drop=drop
        )
