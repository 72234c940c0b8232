"""Serve before there are clients: the first calls of a process cost a multiple of later ones."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from milvus_coord.rpc.http2.client_connection import KeepAlive, PeerConnection
from milvus_coord.rpc.http2.unary import RpcError, framed, request_headers, timeout_header
from milvus_coord.rpc.server.server import RpcServer

_NOBODY: Final = "rehearsal"
_CALL_S: Final = 1.0


async def rehearse_calls(server: RpcServer, methods: Iterable[str]) -> None:
    """Let `server` answer an empty request to each of `methods`, one by one, and use it up.

    Client and server talk over a pair of sockets; nothing listens. What is answered does not
    matter: the way there does, which Python runs several times faster once it has been gone.
    """
    ours, theirs = socket.socketpair()
    await server.adopt(ours)
    _, client = await asyncio.get_running_loop().create_unix_connection(
        lambda: PeerConnection(_NOBODY, KeepAlive(), lambda _: None), sock=theirs
    )
    try:
        for method in methods:
            headers = request_headers(method, authority=_NOBODY, scheme="http", metadata={})
            with suppress(RpcError):
                await client.exchange([*headers, timeout_header(_CALL_S)], framed(b""))
    finally:
        client.close()
        await server.abort(reason="rehearsed")
