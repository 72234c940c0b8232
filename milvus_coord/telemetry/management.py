"""The management HTTP server: small, bounded in every direction, no danger to the daemon."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Final

from milvus_coord.telemetry.httpconn import Connection, Limits
from milvus_coord.telemetry.web import Routes

_BACKLOG: Final = 1024
"""Whoever finds it full is let in a second later at the soonest."""

_BEYOND: Final = 2


class ManagementServer:
    """Serves `routes` over HTTP/1.1 with keep-alive, beside whatever else the loop does.

    A path that is not in `routes` is answered 404, another method 405, a handler that raises 500
    and a line in the log. One instance is started once.
    """

    def __init__(self, routes: Routes, limits: Limits | None = None) -> None:
        self._routes = routes
        self._limits = limits or Limits()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._closing = False

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port bound: `port`, or any free one for 0.

        An empty host means every address, IPv6 included. Raises OSError, for a port in use too;
        Go only logs that and goes on.
        """
        if host:
            self._server = await asyncio.start_server(self._accept, host, port, backlog=_BACKLOG)
        else:
            everywhere = _everywhere(port)
            self._server = await asyncio.start_server(
                self._accept, sock=everywhere, backlog=_BACKLOG
            )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening, drop idle clients, give requests in flight `close_s`, cut the rest."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        try:
            for task, connection in self._open.items():
                connection.finish()
                if connection.idle_since is not None:
                    task.cancel()
            if self._open:
                await asyncio.wait(self._open, timeout=self._limits.close_s)
        finally:
            left = list(self._open)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closing:
            writer.transport.abort()
            return
        if len(self._open) >= _BEYOND * self._limits.connections:
            writer.transport.abort()  # all are being answered, and as many are told so
            return
        full = len(self._open) >= self._limits.connections and not self._displace()
        connection = Connection(reader, writer, self._routes, self._limits)
        work = connection.refuse() if full else connection.run()
        task = asyncio.get_running_loop().create_task(work, name="management.connection")
        self._open[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task).cut()

    def _displace(self) -> bool:
        """Drop the client that we have waited for longest; False when all are being answered."""
        waiting = [
            (connection.waits_since, task)
            for task, connection in self._open.items()
            if connection.waits_since is not None
        ]
        if not waiting:
            return False
        _, task = min(waiting, key=lambda each: each[0])
        self._open[task].idle_since = self._open[task].waits_since = None
        task.cancel()
        return True


def _everywhere(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:  # IPv6 is built in but switched off
                raise
    return socket.create_server(("", port))
