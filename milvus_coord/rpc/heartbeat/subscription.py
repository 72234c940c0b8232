"""Listen to the beats of the active coordinator at one address."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from types import TracebackType
from typing import Final, Self

from milvus_coord.rpc.heartbeat.message import Beat, BeatsEnded, BeatsRefused, BeatsUnreachable
from milvus_coord.rpc.heartbeat.reader import BeatReader
from milvus_coord.rpc.http2.client_connection import ClientConnection

_PORT_DIGITS_MAX: Final = 5


class BeatStream:
    """`async with BeatStream(...) as beats`: connected, subscribed, and a first beat has come.

    Entering raises BeatsRefused when nobody listens there, and BeatsUnreachable whatever else is
    wrong. Nothing is repeated. Silence is not judged, and a peer that is silent is not asked.

    Args:
        address: `ip:port` or `[ip]:port`; a host name is looked up.
        tls: the context of a ClientTls, where the coordinators' port has TLS.
        connect_timeout_s: for all of entering.
        every_s: the rhythm to ask for; None: the server's own.
        server_id: our own, for the active's log.
    """

    def __init__(
        self,
        address: str,
        tls: ssl.SSLContext | None,
        connect_timeout_s: float,
        *,
        every_s: float | None = None,
        server_id: int = 0,
    ) -> None:
        self._address = address
        host, _, port = address.rpartition(":")
        self._host = host.strip("[]")
        self._port = int(port) if port.isdecimal() and len(port) <= _PORT_DIGITS_MAX else 0
        self._tls, self._connect_timeout_s = tls, connect_timeout_s
        self._every_ms = 0 if every_s is None else max(1, round(every_s * 1000))
        self._server_id = server_id
        self._reader: BeatReader | None = None

    async def __aenter__(self) -> Self:
        reader: BeatReader | None = None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                reader = await self._connect()
                await reader.begun()
        except TimeoutError as error:
            raise BeatsUnreachable(
                f"{self._address}: no beat within {self._connect_timeout_s} s"
            ) from error
        except BeatsEnded as error:  # before it began
            raise BeatsUnreachable(str(error)) from error
        else:
            self._reader = reader
        finally:
            if reader is not None and self._reader is None:
                reader.close()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            self._reader.close()

    async def next(self) -> Beat:
        """The next beat, however long it takes. Raises BeatsEnded, also each time after that."""
        if self._reader is None:
            raise RuntimeError("a BeatStream is read inside its `async with` block")
        return await self._reader.next()

    async def _connect(self) -> BeatReader:
        refusal = trouble = None
        for host in await self._hosts():
            try:
                return await self._connect_to(host)
            except ConnectionRefusedError as error:
                refusal = error
            except OSError as error:  # ssl.SSLError is one
                trouble = error
        if trouble is not None or refusal is None:
            raise BeatsUnreachable(f"{self._address}: {trouble}") from trouble
        raise BeatsRefused(f"{self._address}: {refusal}") from refusal

    async def _connect_to(self, host: str) -> BeatReader:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: ClientConnection(self._address, keep_alive=None),
            host,
            self._port,
            ssl=self._tls,
            server_hostname=self._host if self._tls else None,
        )
        return BeatReader(
            connection, self._address, self._server_id, self._every_ms, tls=bool(self._tls)
        )

    async def _hosts(self) -> list[str]:
        """One address after the other, so that a refusal of all is told from other trouble."""
        if not self._host or not 0 < self._port < 65_536:
            raise BeatsUnreachable(f"{self._address!r} is no address")
        try:
            ipaddress.ip_address(self._host)
        except ValueError:
            return await self._looked_up()
        return [self._host]

    async def _looked_up(self) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            raise BeatsUnreachable(f"{self._address}: unknown host ({error})") from error
        return list(dict.fromkeys(str(address[0]) for *_, address in found))
