"""One call on a client's HTTP/2 connection, as the connection sees it."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from grpclib.const import Status

from milvus_coord.rpc.http2.unary import REPLY_MAX_BYTES, Answer, RpcError


class ClientStream:
    """One call as its connection sees it; what comes for it is handed to these methods.

    Attributes:
        outlives_goaway: whether a call that the server still answers goes on behind its GOAWAY.
        answer: headers and trailers, as far as they have come.
        ended: nothing more is sent for it.
    """

    outlives_goaway: ClassVar[bool] = True

    def __init__(self) -> None:
        self.answer = Answer()
        self.ended = False

    def take(self, data: bytes) -> None:
        """A piece of the body. What it raises costs the connection."""
        raise NotImplementedError

    def finish(self) -> None:
        """The server has said all."""
        raise NotImplementedError

    def fail(self, error: RpcError) -> None:
        """Nothing comes any more. The first end counts."""
        raise NotImplementedError


class UnaryCall(ClientStream):
    """A call with one reply; `done` is resolved when it is complete, or fails with RpcError."""

    def __init__(self, address: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._address = address
        self.done: asyncio.Future[None] = loop.create_future()

    def take(self, data: bytes) -> None:
        self.answer.body += data
        if len(self.answer.body) > REPLY_MAX_BYTES:
            text = f"the reply is over {REPLY_MAX_BYTES} bytes"
            self.fail(RpcError(self._address, Status.RESOURCE_EXHAUSTED, text))

    def finish(self) -> None:
        self.ended = True
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: RpcError) -> None:
        self.ended = True
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # its caller may be gone
