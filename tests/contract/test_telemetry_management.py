"""The management server over real sockets: manners, limits, and clients without any."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from milvus_coord.telemetry.httpconn import Limits
from milvus_coord.telemetry.management import ManagementServer
from milvus_coord.telemetry.web import Request, Response, Routes, text

QUICK = Limits(request_s=0.6, idle_s=0.6, close_s=0.3)
GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"


class Gate:
    """A handler that says when it has begun and waits until it may go on."""

    def __init__(self, answer: Response | None = None) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.response = answer or text("through")

    async def __call__(self, _request: Request) -> Response:
        self.begun.set()
        await self.go.wait()
        return self.response


async def hello(request: Request) -> Response:
    return text(f"hello {','.join(request.query.get('name', ['you']))}")


async def echo(request: Request) -> Response:
    return Response(request.body)


async def broken(_request: Request) -> Response:
    raise RuntimeError("handler fell over")


ROUTES: Routes = {
    "/hello": {"GET": hello},
    "/echo": {"PUT": echo, "GET": hello},
    "/broken": {"GET": broken},
}


@asynccontextmanager
async def serving(limits: Limits | None = None, **more: Gate) -> AsyncIterator[int]:
    """A running server's port; `more` adds gates under their names."""
    gates: Routes = {f"/{name}": {"GET": gate} for name, gate in more.items()}
    server = ManagementServer({**ROUTES, **gates}, limits)
    port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.close()
        assert connections() == []


def connections() -> list[asyncio.Task[object]]:
    """The connections being served, by anybody in this loop."""
    return [each for each in asyncio.all_tasks() if each.get_name() == "management.connection"]


async def all_gone() -> bool:
    """Wait until no connection is served, or for five seconds."""
    if serving_now := connections():
        await asyncio.wait(serving_now, timeout=5)
    return not connections()


class Client:
    """A raw socket with a deadline on everything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def answer(self) -> tuple[int, bytes]:
        """The next answer's status and body."""
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(head.split()[1]), await self.reader.readexactly(length)


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def over_http(port: int, *asked: tuple[str, str]) -> list[tuple[int, bytes, dict[str, str]]]:
    """Ask by the standard library's client, all over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    answers = []
    for method, path in asked:
        connection.request(method, path, body=b"data" if method == "PUT" else None)
        got = connection.getresponse()
        headers = {name.lower(): value for name, value in got.getheaders()}
        answers.append((got.status, got.read(), headers))
    connection.close()
    return answers


async def test_methods_and_paths_over_one_connection() -> None:
    async with serving() as port:
        answers = await asyncio.to_thread(
            over_http,
            port,
            ("GET", "/hello?name=a%20b&name=c"),
            ("HEAD", "/hello"),
            ("PUT", "/echo"),
            ("POST", "/echo"),
            ("PUT", "/hello"),
            ("GET", "/"),
            ("GET", "/hel%6Co"),
        )
    assert [(status, body) for status, body, _ in answers] == [
        (200, b"hello a b,c"),
        (200, b""),
        (200, b"data"),
        (405, b"405 method not allowed\n"),
        (405, b"405 method not allowed\n"),
        (404, b"404 not found\n"),
        (200, b"hello you"),
    ]
    assert answers[0][2]["content-type"] == "text/plain; charset=utf-8"
    assert answers[1][2]["content-length"] == "9"
    assert answers[3][2]["allow"] == "GET, HEAD, PUT"
    assert answers[4][2]["allow"] == "GET, HEAD"


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving() as port, client(port) as raw:
        raw.send(b"".join(GET.replace(b"/hello", b"/hello?name=%d" % n) for n in range(20)))
        for n in range(20):
            assert await raw.answer() == (200, b"hello %d" % n)


async def test_a_client_may_ask_to_close() -> None:
    async with serving() as port, client(port) as raw:
        raw.send(GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        assert (await raw.rest()).endswith(b"hello you")


async def test_old_http_is_served_and_closed() -> None:
    async with serving() as port, client(port) as raw:
        raw.send(b"GET http://somewhere:9091/hello HTTP/1.0\r\n\r\n")
        answer = await raw.rest()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"hello you")


async def test_a_body_is_invited() -> None:
    async with serving() as port, client(port) as raw:
        raw.send(
            b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        async with asyncio.timeout(5):
            assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        raw.send(b"data")
        assert await raw.answer() == (200, b"data")


async def test_a_handler_that_raises_costs_one_answer(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving() as port, client(port) as raw:
        raw.send(GET.replace(b"hello", b"broken"))
        assert await raw.answer() == (500, b"500 internal server error\n")
        raw.send(GET)
        assert await raw.answer() == (200, b"hello you")
    logged = capsys.readouterr().out
    assert '["management request failed"] [method=GET] [path=/broken]' in logged
    assert '[error="handler fell over"] [stack=' in logged


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /hello HTTP/1.1\r\nX: " + b"y" * 300_000, 431),
        (b"GET /" + b"y" * 300_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000, 413),
        (b"\x16\x03\x01\x02\x00 this is tls\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    ],
)
async def test_bad_requests_are_answered_and_cut_off(sent: bytes, status: int) -> None:
    async with serving() as port, client(port) as raw:
        raw.send(sent)
        raw.writer.write_eof()
        answer = await raw.rest()
        assert int(answer.split()[1]) == status
        assert b"Connection: close" in answer
        assert await hello_again(port)


async def hello_again(port: int) -> bool:
    async with client(port) as raw:
        raw.send(GET)
        return await raw.answer() == (200, b"hello you")


async def test_a_body_in_endless_chunks_is_cut_off() -> None:
    async with serving(replace(QUICK, body_bytes=1000)) as port, client(port) as raw:
        raw.send(b"PUT /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            raw.send(b"64\r\n" + b"y" * 100 + b"\r\n")
        assert (await raw.rest()).startswith(b"HTTP/1.1 413 ")


async def test_a_request_that_never_ends_times_out() -> None:
    async with serving(QUICK) as port, client(port) as raw:
        raw.send(GET[:20])
        assert (await raw.rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_trickle_does_not_extend_the_time() -> None:
    async with serving(QUICK) as port, client(port) as raw:
        loop = asyncio.get_running_loop()
        begun = loop.time()

        async def trickle() -> None:
            for byte in GET * 100:
                raw.send(bytes((byte,)))
                await asyncio.sleep(0.02)

        slow = asyncio.create_task(trickle())
        assert (await raw.rest()).startswith(b"HTTP/1.1 408 ")
        slow.cancel()
        assert loop.time() - begun < 3


@pytest.mark.parametrize("first", [b"", GET])
async def test_silence_is_closed_without_a_word(first: bytes) -> None:
    async with serving(QUICK) as port, client(port) as raw:
        raw.send(first)
        assert (await raw.rest()).count(b"HTTP/1.1") == bool(first)


async def test_a_client_that_takes_nothing_is_cut() -> None:
    gate = Gate(Response(b"x" * 30_000_000))
    gate.go.set()
    async with serving(QUICK, gate=gate) as port:
        with socket.create_connection(("127.0.0.1", port)) as deaf:
            deaf.sendall(GET.replace(b"hello", b"gate"))
            await gate.begun.wait()
            assert await all_gone()
        assert await hello_again(port)


async def test_clients_that_vanish_are_forgotten() -> None:
    gate = Gate()
    async with serving(gate=gate) as port:
        for sent in (b"", GET[:10], GET, GET.replace(b"hello", b"gate")):
            async with client(port) as raw:
                raw.send(sent)
                if b"gate" in sent:
                    await gate.begun.wait()
        gate.go.set()
        assert await all_gone()


async def test_many_clients_at_once() -> None:
    async with serving() as port:

        async def one(n: int) -> None:
            async with client(port) as raw:
                for _ in range(5):
                    raw.send(GET.replace(b"/hello", b"/hello?name=%d" % n))
                    assert await raw.answer() == (200, b"hello %d" % n)

        async with asyncio.TaskGroup() as tasks:
            for n in range(60):
                tasks.create_task(one(n))


async def test_one_client_too_many_displaces_the_longest_idle() -> None:
    async with (
        serving(Limits(connections=2)) as port,
        client(port) as older,
        client(port) as newer,
    ):
        for each in (newer, older, newer):
            each.send(GET)
            assert await each.answer() == (200, b"hello you")
        assert await hello_again(port)
        assert await older.rest() == b""
        newer.send(GET)
        assert await newer.answer() == (200, b"hello you")


async def test_with_all_busy_one_more_is_refused() -> None:
    gate = Gate()
    async with serving(Limits(connections=1), gate=gate) as port, client(port) as busy:
        busy.send(GET.replace(b"hello", b"gate"))
        await gate.begun.wait()
        async with client(port) as extra:
            assert (await extra.rest()).startswith(b"HTTP/1.1 503 ")
        gate.go.set()
        assert await busy.answer() == (200, b"through")


async def test_close_lets_a_request_in_flight_finish() -> None:
    gate = Gate()
    server = ManagementServer({"/gate": {"GET": gate}, **ROUTES})
    port = await server.start("127.0.0.1", 0)
    async with client(port) as busy, client(port) as idle:
        idle.send(GET)
        assert await idle.answer() == (200, b"hello you")
        busy.send(GET.replace(b"hello", b"gate"))
        await gate.begun.wait()
        closing = asyncio.create_task(server.close())
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        gate.go.set()
        answer = await busy.rest()
        assert answer.endswith(b"through")
        assert b"Connection: close" in answer
        await closing


async def test_close_does_not_wait_for_ever() -> None:
    gate = Gate()
    server = ManagementServer({"/gate": {"GET": gate}}, QUICK)
    port = await server.start("127.0.0.1", 0)
    async with client(port) as busy:
        busy.send(GET.replace(b"hello", b"gate"))
        await gate.begun.wait()
        async with asyncio.timeout(5):
            await server.close()
        assert await busy.rest() == b""
    assert connections() == []


async def test_a_port_in_use_is_an_error_and_close_is_harmless() -> None:
    async with serving() as port:
        second = ManagementServer(ROUTES)
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            await second.start("127.0.0.1", port)
        await second.close()


async def test_no_host_means_every_address() -> None:
    server = ManagementServer(ROUTES)
    port = await server.start("", 0)
    assert await hello_again(port)
    again = ManagementServer(ROUTES)
    with pytest.raises(OSError, match=r"(?i)address already in use"):
        await again.start("", port)
    await server.close()
