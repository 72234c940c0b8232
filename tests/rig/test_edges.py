"""The edges do what they say: cut, hold, delay, refuse, and follow their target's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from testing.daemon import boottime_s
from testing.ports import free_ports
from tests.rig.edges import Edge, Edges

Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial: TypeAlias = Callable[[Edge], Awaitable[Connection]]
SILENCE_S = 0.2


@asynccontextmanager
async def echoing(port: int) -> AsyncIterator[None]:
    """A server that sends back what it gets."""

    handlers: set[asyncio.Task[Any]] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    writer.write(data)
        finally:
            writer.close()
            handlers.discard(task)

    async with await asyncio.start_server(echo, "127.0.0.1", port):
        yield
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    (port,) = free_ports(1)
    async with echoing(port), Edges(tmp_path) as edges:
        yield await edges.open("one", f"127.0.0.1:{port}")


async def connect(edge: Edge) -> Connection:
    host, _, port = edge.endpoint.partition(":")
    return await asyncio.open_connection(host, int(port))


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """`await dial(edge)`; all connections are closed at the end."""
    opened: list[Connection] = []

    async def dial(edge: Edge) -> Connection:
        opened.append(await connect(edge))
        return opened[-1]

    yield dial
    for _, writer in opened:
        writer.close()
    await asyncio.gather(*(each[1].wait_closed() for each in opened), return_exceptions=True)


async def echoed(connection: Connection, data: bytes, within_s: float = 5.0) -> None:
    reader, writer = connection
    writer.write(data)
    async with asyncio.timeout(within_s):
        assert await reader.readexactly(len(data)) == data


async def silent(connection: Connection, data: bytes) -> None:
    with pytest.raises(TimeoutError):
        await echoed(connection, data, SILENCE_S)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await holds():
            await asyncio.sleep(0.005)


async def refused(edge: Edge) -> bool:
    try:
        _, writer = await connect(edge)
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False  # it was about to close
    writer.close()
    return False


async def test_carries_much_in_order(edge: Edge, dial: Dial) -> None:
    connection = await dial(edge)
    await echoed(connection, bytes(range(256)) * 8192)
    assert await edge.carried_bytes() == [256 * 8192]


async def test_cut_and_healed_delivers_late(edge: Edge, dial: Dial) -> None:
    old = await dial(edge)
    await echoed(old, b"before")
    await edge.cut()
    await silent(old, b"late")
    new = await dial(edge)  # as a queue of connections would take it: there is no answer
    await silent(new, b"new")
    assert await edge.held_bytes() == len("late")
    await edge.heal()
    for (reader, _), data in ((old, b"late"), (new, b"new")):
        async with asyncio.timeout(5):
            assert await reader.readexactly(len(data)) == data
    await echoed(old, b"after")


async def test_healed_with_a_reset_loses_what_was_held(edge: Edge, dial: Dial) -> None:
    old = await dial(edge)
    await edge.cut()
    await silent(old, b"lost")
    await edge.heal(drop=True)
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionResetError):
            await old[0].readexactly(1)
    await echoed(await dial(edge), b"fresh")
    assert await edge.carried_bytes() == [len("fresh")]


async def test_hold_of_one_direction(edge: Edge, dial: Dial) -> None:
    connection = await dial(edge)
    await edge.hold(down=True)
    await silent(connection, b"there")
    assert await edge.carried_bytes() == [len("there")], "it went up"
    assert await edge.held_bytes() == 0
    await edge.heal()
    async with asyncio.timeout(5):
        assert await connection[0].readexactly(5) == b"there"


async def test_delay(edge: Edge, dial: Dial) -> None:
    connection = await dial(edge)
    await edge.delay(100)
    began_s = boottime_s()
    await echoed(connection, b"slow")
    assert 0.2 <= boottime_s() - began_s < 2
    await edge.heal()
    await echoed(connection, b"quick", within_s=1)


async def test_refuse(edge: Edge, dial: Dial) -> None:
    reader, _ = await dial(edge)
    await edge.refuse()
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
    assert await refused(edge)
    await edge.heal()
    await echoed(await dial(edge), b"again")


async def test_a_dead_target_is_refused_and_its_return_is_not(tmp_path: Path, dial: Dial) -> None:
    (port,) = free_ports(1)
    async with Edges(tmp_path) as edges:
        edge = await edges.open("one", f"127.0.0.1:{port}")
        assert await refused(edge), "nobody listens behind it"
        for _ in range(2):
            async with echoing(port):

                async def reachable() -> bool:
                    return not await refused(edge)

                await until(reachable)
                reader, writer = await dial(edge)
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                writer.close()
            await until(lambda: refused(edge))


async def test_a_group_is_cut_as_one(tmp_path: Path, dial: Dial) -> None:
    ports = free_ports(2)
    async with echoing(ports[0]), echoing(ports[1]), Edges(tmp_path) as edges:
        pair = [
            await edges.open(f"e{number}", f"127.0.0.1:{port}") for number, port in enumerate(ports)
        ]
        connections = [await dial(each) for each in pair]
        together = pair[0].and_(pair[1])
        await together.cut()
        for connection in connections:
            await silent(connection, b"?")
        await together.heal()
        for reader, _ in connections:
            assert await reader.readexactly(1) == b"?"
