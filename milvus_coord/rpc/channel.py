"""A client connection to another Milvus process, for generated stubs or single calls."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from grpclib import client, protocol
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.events import SendRequest, listen
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.exceptions import H2Error

from milvus_coord.rpc.guards import CLUSTER_KEY, SERVER_ID_KEY, SOURCE_ID_KEY

# base64 of "@@milvus-member@@": how a member of the cluster passes a proxy's authorization.
_MEMBER: Final = "QEBtaWx2dXMtbWVtYmVyQEA="

Reply = TypeVar("Reply")


class RpcError(Exception):
    """A call did not succeed; `code` is the gRPC status, UNAVAILABLE when nobody answered."""

    def __init__(self, address: str, code: Status, message: str) -> None:
        super().__init__(f"{address}: {code.name}: {message}")
        self.address, self.code, self.message = address, code, message


def peer_metadata(cluster: str, server_id: int | None) -> dict[str, str]:
    """What every request to a Milvus process carries; `server_id` is the one we mean to reach."""
    metadata = {SOURCE_ID_KEY: _MEMBER}
    if cluster:
        metadata[CLUSTER_KEY] = cluster
    if server_id is not None:
        metadata[SERVER_ID_KEY] = str(server_id)
    return metadata


class Channel(client.Channel):
    """One connection, made at the first call and again after it broke. No retries.

    Pass it to a generated stub and wrap the stub's calls in `errors`, or use `unary`. Must be
    made inside the running loop, and closed.

    Args:
        address: `ip:port`, or `[ip]:port` for IPv6.
        metadata: added to each request, see `peer_metadata`.
        connect_timeout_s: Go 2.2.16 gives a dial 200 ms (`grpc.client.dialTimeout`).
    """

    def __init__(
        self,
        address: str,
        *,
        codec: CodecBase,
        metadata: Mapping[str, str],
        connect_timeout_s: float = 0.2,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        super().__init__(host.strip("[]"), int(port), codec=codec, ssl=tls)
        self.address = address
        self._always = dict(metadata)
        self._connect_timeout_s = connect_timeout_s
        listen(self, SendRequest, self._add_metadata)

    async def unary(
        self, method: str, request: object, reply_type: type[Reply], *, timeout_s: float
    ) -> Reply:
        """Call `method` (`/package.Service/Method`) and return its reply; raises RpcError."""
        with self.errors():
            async with self.request(
                method, Cardinality.UNARY_UNARY, type(request), reply_type, timeout=timeout_s
            ) as stream:
                await stream.send_message(request, end=True)
                reply = await stream.recv_message()
            if reply is None:
                raise GRPCError(Status.INTERNAL, "status OK without a reply")
            return reply

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn whatever grpclib raises inside into RpcError."""
        try:
            yield
        except GRPCError as error:
            raise RpcError(self.address, error.status, error.message or "") from error
        except TimeoutError as error:
            raise RpcError(self.address, Status.DEADLINE_EXCEEDED, "no reply in time") from error
        except (OSError, StreamTerminatedError, H2Error, ProtocolError) as error:
            text = str(error) or type(error).__name__
            raise RpcError(self.address, Status.UNAVAILABLE, text) from error

    async def _create_connection(self) -> protocol.H2Protocol:
        try:
            async with asyncio.timeout(self._connect_timeout_s) as limit:
                return await super()._create_connection()
        except TimeoutError as error:
            if not limit.expired():
                raise ConnectionError(str(error)) from error
            raise ConnectionError(f"no connection within {self._connect_timeout_s} s") from error

    async def _add_metadata(self, event: Any) -> None:
        for key, value in self._always.items():
            event.metadata.setdefault(key, value)
