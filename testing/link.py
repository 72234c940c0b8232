"""A TCP link that a test can cut: in front of one server, on loopback."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Link:
    """Forwards a port of its own to `target` (`host:port`) until it is cut.

    `cut` freezes what is open and accepts nothing that would answer: the far side seems to hang,
    as behind a pulled cable. `heal` lets new connections through; frozen ones are dropped.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._open = asyncio.Event()
        self._open.set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.endpoint = ""

    async def __aenter__(self) -> Link:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._drop()

    def cut(self) -> None:
        """Nothing passes from now on."""
        self._open.clear()

    async def heal(self) -> None:
        """New connections pass again."""
        await self._drop()
        self._open.set()

    async def _drop(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        try:
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump(reader, far_writer))
                    pumps.create_task(self._pump(far_reader, writer))
            finally:
                far_writer.close()
        except* (OSError, EOFError):
            pass
        finally:
            self._pumps.discard(task)
            with suppress(OSError):
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise EOFError
