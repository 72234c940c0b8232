"""A client connection to another Milvus process, for single calls."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final, TypeVar

from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from h2.exceptions import H2Error

from milvus_coord.rpc.http2.client_connection import ClientConnection, KeepAlive
from milvus_coord.rpc.http2.unary import (
    Answer,
    Headers,
    RpcError,
    framed,
    payload,
    request_headers,
    timeout_header,
)
from milvus_coord.rpc.server.guards import CLUSTER_KEY, SERVER_ID_KEY, SOURCE_ID_KEY
from milvus_coord.runtime.race import limited

# base64 of "@@milvus-member@@": how a member of the cluster passes a proxy's authorization.
_MEMBER: Final = "QEBtaWx2dXMtbWVtYmVyQEA="

Reply = TypeVar("Reply")


def member_metadata(cluster: str, server_id: int | None) -> dict[str, str]:
    """What every request to a Milvus process carries; `server_id` is the one we mean to reach."""
    metadata = {SOURCE_ID_KEY: _MEMBER}
    if cluster:
        metadata[CLUSTER_KEY] = cluster
    if server_id is not None:
        metadata[SERVER_ID_KEY] = str(server_id)
    return metadata


class Channel:
    """One connection, made at the first call and again after it broke. No retries.

    Calls run side by side. After a GOAWAY new calls take a new connection, while those that the
    peer still answers finish on the old one. Must be made inside the running loop, and closed.

    Args:
        address: `ip:port`, or `[ip]:port` for IPv6.
        metadata: added to each request, see `member_metadata`.
        connect_timeout_s: Go 2.2.16 gives a dial 200 ms (`grpc.client.dialTimeout`).
        keep_alive: when to give a silent peer up.
    """

    def __init__(
        self,
        address: str,
        *,
        codec: CodecBase,
        metadata: Mapping[str, str],
        connect_timeout_s: float = 0.2,
        keep_alive: KeepAlive | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port, self._tls = host.strip("[]"), int(port), tls
        self.address = address
        self._codec, self._metadata = codec, dict(metadata)
        self._connect_timeout_s = connect_timeout_s
        self._keep_alive = keep_alive or KeepAlive()
        self._headers: dict[str, Headers] = {}
        self._connecting = asyncio.Lock()
        self._failure: tuple[int, OSError] = (0, OSError())
        self._connection: ClientConnection | None = None
        self._open: set[ClientConnection] = set()
        self._closed = False

    async def unary(
        self, method: str, request: object, reply_type: type[Reply], *, timeout_s: float
    ) -> Reply:
        """Call `method` (`/package.Service/Method`) and return its reply; raises RpcError."""
        try:
            message = framed(self._codec.encode(request, type(request)))
            answer = await self._exchange(method, message, timeout_s)
            reply: Reply = self._codec.decode(payload(answer, self.address), reply_type)
        except GRPCError as error:  # of the codec
            raise RpcError(self.address, error.status, error.message or "") from error
        return reply

    def close(self) -> None:
        """Drop the connection; calls in flight fail with UNAVAILABLE, and so do later ones."""
        self._closed = True
        for connection in tuple(self._open):
            connection.close()

    async def _exchange(self, method: str, message: bytes, timeout_s: float) -> Answer:
        try:
            async with limited(timeout_s, self._late):
                connection = await self._connected()
                headers = [*self._headers_of(method), timeout_header(timeout_s)]
                return await connection.exchange(headers, message)
        except OSError as error:
            raise self._not_connected(error) from error
        except H2Error as error:
            text = f"{type(error).__name__}: {error}"
            raise RpcError(self.address, Status.UNAVAILABLE, text) from error

    def _late(self) -> RpcError:
        return RpcError(self.address, Status.DEADLINE_EXCEEDED, "no reply in time")

    def _not_connected(self, error: OSError) -> RpcError:
        text = str(error) or type(error).__name__
        return RpcError(self.address, Status.UNAVAILABLE, text, unseen=True)

    async def _connected(self) -> ClientConnection:
        """The connection, made if need be; raises OSError. Those who wait share one failure."""
        connection = self._connection
        if connection is not None and connection.usable:
            return connection
        if self._closed:
            raise ConnectionError("the channel is closed")
        failures = self._failure[0]
        async with self._connecting:
            connection = self._connection
            if connection is not None and connection.usable:
                return connection
            if self._failure[0] != failures:
                raise self._failure[1]
            try:
                self._connection = await self._connect()
            except OSError as error:
                self._failure = (failures + 1, error)
                raise
            return self._connection

    async def _connect(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        try:
            async with limited(self._connect_timeout_s, self._not_in_time):
                _, connection = await loop.create_connection(
                    lambda: ClientConnection(self.address, self._keep_alive, self._open.discard),
                    self._host,
                    self._port,
                    ssl=self._tls,
                )
        except (UnicodeError, OverflowError) as error:  # of a host, of a port
            raise ConnectionError(f"no such address: {error}") from error
        self._open.add(connection)
        if self._closed:
            connection.close()
        return connection

    def _not_in_time(self) -> ConnectionError:
        return ConnectionError(f"no connection within {self._connect_timeout_s} s")

    def _headers_of(self, method: str) -> Headers:
        headers = self._headers.get(method)
        if headers is None:
            headers = self._headers[method] = request_headers(
                method,
                authority=f"{self._host}:{self._port}",
                scheme="https" if self._tls else "http",
                metadata=self._metadata,
            )
        return headers
