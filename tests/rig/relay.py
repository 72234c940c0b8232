"""A process that forwards one TCP port to another address, also out of a host's own network."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from testing.daemon import Daemon

_ROOT = Path(__file__).parents[2]


class Relay(Daemon):
    """Forwards `listen` to `target`, both `host:port`, from `start` on."""

    def __init__(self, listen: str, target: str, *, folder: Path, name: str = "relay") -> None:
        argv = [sys.executable, "-m", "tests.rig.relay", listen, target]
        super().__init__(name, argv, folder=folder, env={"PYTHONPATH": str(_ROOT)})


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(listen: str, target: str) -> None:
    far_host, _, far_port = target.rpartition(":")

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(far_host, int(far_port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    host, _, port = listen.rpartition(":")
    server = await asyncio.start_server(join, host, int(port))
    print(f"forwarding {listen} to {target}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))
