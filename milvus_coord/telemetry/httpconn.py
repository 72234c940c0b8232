"""One HTTP/1.1 connection of the management port, on h11."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, unquote

import h11

from milvus_coord.telemetry.log import log
from milvus_coord.telemetry.web import Request, Response, Routes, text

_READ_BYTES: Final = 8192
_LINGER_BYTES: Final = 1 << 20
_LINGER_S: Final = 1.0
_SPREAD: Final = 0.5
"""Of the patience with a request: a thousand that came at once do not run out at once."""

_AUTHORITY: Final = re.compile(r"^https?://[^/?]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all of them together, may ask of the management port.

    Args:
        header_bytes: request line and headers; more is answered 431.
        body_bytes: request body; more is answered 413.
        request_s: from connecting or a request's first byte to its last (408), a random half of it
            or more; and for taking in an answer.
        idle_s: between two requests of a connection.
        connections: at once. Many, because one that only waits costs little, and a client that is
            dropped comes back at once. One more takes the place of that which we have waited for
            longest, or is answered 503.
        close_s: what closing the server leaves to the requests in flight.
    """

    header_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    request_s: float = 10.0
    idle_s: float = 120.0
    connections: int = 1536
    close_s: float = 2.0


class BodyTooLarge(Exception):
    """A request's body is beyond its limit."""


def patience_s(limits: Limits) -> float:
    """How long one client may take for a request: another time for each."""
    return limits.request_s * random.uniform(1 - _SPREAD, 1)


class Connection:
    """Serves one client's requests in order until either side has had enough.

    `idle_since` is the loop's time since when it waits for a request, None while it has one.
    `waits_since` is since when we wait for the client: for the rest of its request, or until it
    takes its answer; None while the answer is being made.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        routes: Routes,
        limits: Limits,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._routes, self._limits = routes, limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
        self._request_s = patience_s(limits)
        self._patience_s = self._request_s
        self._last = self._head_only = False
        self.idle_since: float | None = asyncio.get_running_loop().time()
        self.waits_since: float | None = self.idle_since
        peer = writer.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        writer.transport.set_write_buffer_limits(high=0)  # so that drain() means sent

    async def run(self) -> None:
        """Serve until the connection ends. Raises nothing but CancelledError."""
        await self._until_over(self._serve())

    async def refuse(self) -> None:
        """Answer 503 to whatever is asked, and close. Raises nothing but CancelledError."""
        await self._until_over(self._send(_failure(HTTPStatus.SERVICE_UNAVAILABLE), close=True))

    def finish(self) -> None:
        """Let the request in hand, if any, be the last."""
        self._last = True

    def cut(self) -> None:
        """Drop the connection unless it was closed in good order, which waits for no client."""
        if not self._writer.is_closing():
            self._writer.transport.abort()

    async def _until_over(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (OSError, TimeoutError) as error:
            log.debug("management connection broke", error=error)
        except Exception as error:
            log.error("management connection failed", error=error)
        else:
            self._writer.close()

    async def _serve(self) -> None:
        while await self._exchange():
            self._patience_s = self._limits.idle_s

    async def _exchange(self) -> bool:
        try:
            request = await self._receive()
        except h11.RemoteProtocolError as error:
            return await self._give_up(HTTPStatus(error.error_status_hint))
        except BodyTooLarge:
            return await self._give_up(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except TimeoutError:
            if self.idle_since is not None:
                return False
            return await self._give_up(HTTPStatus.REQUEST_TIMEOUT)
        if request is None:
            return False
        self.waits_since = None
        response = await self._answer(request)
        self.waits_since = asyncio.get_running_loop().time()
        await self._send(response, close=self._last)
        if self._http.our_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _receive(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        loop = asyncio.get_running_loop()
        pipelined = bool(self._http.trailing_data[0])
        self.waits_since = loop.time()
        self.idle_since = None if pipelined else self.waits_since
        self._head_only = False
        patience_s = self._request_s if pipelined else self._patience_s
        async with asyncio.timeout(patience_s) as deadline:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    await self._invite_body()
                    data = await self._reader.read(_READ_BYTES)
                    if self.idle_since is not None:
                        self.idle_since = None
                        deadline.reschedule(loop.time() + self._request_s)
                    self._http.receive_data(data)
                elif isinstance(event, h11.Request):
                    head = event
                    self._head_only = event.method == b"HEAD"
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > self._limits.body_bytes:
                        raise BodyTooLarge
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    return _request(head, bytes(body), self._peer)
                else:
                    return None

    async def _invite_body(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[])
            self._writer.write(self._http.send(go_on) or b"")
            await self._writer.drain()

    async def _answer(self, request: Request) -> Response:
        methods = self._routes.get(request.path)
        if methods is None:
            return _failure(HTTPStatus.NOT_FOUND)
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = {*methods, *(("HEAD",) if "GET" in methods else ())}
            refusal = _failure(HTTPStatus.METHOD_NOT_ALLOWED)
            return Response(
                refusal.body, refusal.status, headers={"Allow": ", ".join(sorted(allowed))}
            )
        try:
            return await handler(request)
        except Exception as error:
            log.error(
                "management request failed", method=request.method, path=request.path, error=error
            )
            return _failure(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _send(self, response: Response, *, close: bool = False) -> None:
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("Date", formatdate(usegmt=True)),
            *response.headers.items(),
            *((("Connection", "close"),) if close else ()),
        ]
        reason = HTTPStatus(response.status).phrase
        events: list[h11.Event] = [
            h11.Response(status_code=response.status, headers=headers, reason=reason)
        ]
        if not self._head_only:
            events.append(h11.Data(data=response.body))
        events.append(h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        async with asyncio.timeout(self._limits.request_s):
            await self._writer.drain()

    async def _give_up(self, status: HTTPStatus) -> bool:
        """Answer a bad request, then read on a little: a reset would take the answer away."""
        await self._send(_failure(status), close=True)
        self._writer.write_eof()
        left = _LINGER_BYTES
        async with asyncio.timeout(_LINGER_S):
            while left > 0 and (data := await self._reader.read(_READ_BYTES)):
                left -= len(data)
        return False


def _request(head: h11.Request, body: bytes, peer: str) -> Request:
    target = _AUTHORITY.sub("", head.target.decode("ascii")) or "/"
    path, _, query = target.partition("?")
    return Request(
        method=head.method.decode("ascii"),
        path=unquote(path),
        query=parse_qs(query, keep_blank_values=True),
        headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
        body=body,
        peer=peer,
    )


def _failure(status: HTTPStatus) -> Response:
    return text(f"{status.value} {status.phrase.lower()}\n", status.value)
