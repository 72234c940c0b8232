"""A connection that is given up while it is made leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from milvus_coord.rpc.http2.client_connection import ClientConnection, KeepAlive


@pytest.mark.parametrize("turns", range(6))
def test_who_connects_is_cancelled(turns: int) -> None:
    """In one of these turns uvloop closes the transport, and tells nobody."""
    troubles: list[dict[str, Any]] = []

    async def give_up() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: troubles.append(context))
        with socket.create_server(("127.0.0.1", 0)) as server:
            connecting = loop.create_task(
                loop.create_connection(
                    lambda: ClientConnection("peer", KeepAlive()), *server.getsockname()
                ),
                name="connecting",
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            with suppress(asyncio.CancelledError):
                await connecting
            for _ in range(10):
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(give_up())
    assert not troubles
