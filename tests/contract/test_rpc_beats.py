"""Beats from a real server to real followers: their rhythm, and every way in which they end."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from milvus_coord.model.errors import NotServing
from milvus_coord.pb.coord.health import HealthBase
from milvus_coord.rpc.heartbeat.message import Beat, BeatsEnded, BeatsRefused, BeatsUnreachable
from milvus_coord.rpc.heartbeat.service import BeatService
from milvus_coord.rpc.heartbeat.subscription import BeatStream
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.runtime.clock import ManualClock, SystemClock
from testing.beats import Heart, beat_process, serving_beats
from testing.ports import free_ports
from testing.rpc import Probe, eventually

CONNECT_S = 5.0


def follow(address: str, **how: Any) -> BeatStream:
    return BeatStream(address, None, CONNECT_S, **how)


async def take(beats: BeatStream, count: int) -> list[Beat]:
    async with asyncio.timeout(10):
        return [await beats.next() for _ in range(count)]


async def listen(beats: BeatStream, *, within_s: float = 5.0) -> None:
    """Until there are no more. Raises TimeoutError when none comes for `within_s`."""
    while True:
        await asyncio.wait_for(beats.next(), within_s)


async def refused(address: str) -> None:
    """Until connecting is refused. A dying process may close its listener last, which accepts."""
    async with asyncio.timeout(5):
        while True:
            try:
                await follow(address).__aenter__()
            except BeatsRefused:
                return
            except BeatsUnreachable:
                continue


def not_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


@pytest.fixture
async def served() -> AsyncIterator[tuple[RpcServer, str]]:
    async with serving_beats(Heart()) as served:
        yield served


def test_the_service_is_the_one_of_the_interface() -> None:
    service = BeatService(SystemClock(), 1.0, Heart())
    interface, ours = HealthBase().__mapping__(), service.__mapping__()
    assert BeatService.PATHS == set(ours) == set(interface)
    for path, handler in ours.items():
        assert handler[1:] == interface[path][1:]


async def test_a_beat_arrives_as_it_was_sent() -> None:
    sent = Beat(server_id=2**62, epoch=2**61, worst_lag_s=0.0123, unproven_s=math.inf)
    async with serving_beats(lambda: sent) as (_, address), follow(address) as beats:
        (beat,) = await take(beats, 1)
    assert (beat.server_id, beat.epoch) == (sent.server_id, sent.epoch)
    assert beat.worst_lag_s == pytest.approx(sent.worst_lag_s)
    assert beat.unproven_s == math.inf


async def test_one_beat_at_once_and_then_one_a_turn() -> None:
    clock, heart = ManualClock(), Heart()
    serving = serving_beats(heart, clock=clock, every_s=0.1)
    async with serving as (_, address), follow(address) as beats:
        assert (await take(beats, 1))[0].epoch == 0
        for number in range(1, 20):
            waiting = asyncio.create_task(beats.next(), name="next")
            clock.advance(0.09)
            await asyncio.sleep(0.001)
            assert heart.beats == number
            assert not waiting.done()
            clock.advance(0.02)
            assert (await waiting).epoch == number


async def test_a_follower_has_the_rhythm_that_it_asks_for() -> None:
    clock, heart = ManualClock(), Heart()
    serving = serving_beats(heart, clock=clock, every_s=0.1)
    async with serving as (_, address), follow(address, every_s=0.5, server_id=3) as beats:
        await take(beats, 1)
        clock.advance(0.49)
        await asyncio.sleep(0.001)
        assert heart.beats == 1
        clock.advance(0.02)
        assert (await take(beats, 1))[0].epoch == 1


async def test_five_followers_hear_the_same_heart(served: tuple[RpcServer, str]) -> None:
    server, address = served

    async def one() -> list[int]:
        async with follow(address) as beats:
            return [beat.epoch for beat in await take(beats, 20)]

    heard = await asyncio.gather(*(one() for _ in range(5)))
    assert all(epochs == sorted(set(epochs)) for epochs in heard)
    assert len({epoch for epochs in heard for epoch in epochs}) == 100
    await eventually(lambda: server.in_flight == 0)


@pytest.mark.parametrize("gone", ["leaves", "is cancelled", "is lost"])
async def test_a_follower_that_is_gone_costs_nothing(
    served: tuple[RpcServer, str], gone: str
) -> None:
    server, address = served

    async def one() -> None:
        async with follow(address) as beats:
            while True:
                await take(beats, 1)
                if gone == "leaves":
                    return
                if gone == "is lost":
                    assert beats._reader is not None
                    beats._reader._connection._transport.abort()
                    with pytest.raises(BeatsEnded, match="connection lost"):
                        await listen(beats)
                    return
                seen.set()

    seen = asyncio.Event()
    listening = asyncio.create_task(one(), name="follower")
    if gone == "is cancelled":
        await seen.wait()
        assert server.in_flight == 1
        listening.cancel()
        await asyncio.wait([listening])
        assert listening.cancelled()
    else:
        await listening
    await eventually(lambda: (server.in_flight, server.connections) == (0, 0))


@pytest.mark.parametrize("how", ["quiesce", "abort"])
async def test_a_server_that_stops_ends_its_beats(served: tuple[RpcServer, str], how: str) -> None:
    server, address = served
    async with follow(address) as beats:
        await take(beats, 2)
        stop: Callable[[], Any] = {
            "quiesce": lambda: server.quiesce(30.0, reason="handing over"),
            "abort": lambda: server.abort(reason="handing over"),
        }[how]
        stopping = asyncio.create_task(stop(), name="stop")
        with pytest.raises(BeatsEnded, match="UNAVAILABLE: handing over"):
            await listen(beats)
        with pytest.raises(BeatsEnded):
            await beats.next()
        await stopping
        assert not_cancelled()
    with pytest.raises(BeatsRefused):
        await follow(address).__aenter__()


async def test_a_killed_server_ends_its_beats_and_then_refuses() -> None:
    with beat_process(free_ports(1)[0]) as process:
        async with follow(process.address) as beats:
            await take(beats, 3)
            process.signal(signal.SIGKILL)
            with pytest.raises(BeatsEnded, match="connection"):
                await listen(beats)
            assert not_cancelled()
        await refused(process.address)


async def test_a_stopped_server_is_silent_and_nothing_else() -> None:
    with beat_process(free_ports(1)[0]) as process:
        async with follow(process.address) as beats:
            await take(beats, 3)
            process.signal(signal.SIGSTOP)
            with pytest.raises(TimeoutError):
                await listen(beats, within_s=0.3)
            with pytest.raises(BeatsUnreachable, match=r"no beat within 0\.2 s"):
                await BeatStream(process.address, None, 0.2).__aenter__()
            process.signal(signal.SIGCONT)
            await take(beats, 3)  # as if nothing had been


async def test_a_port_that_is_only_reserved_refuses() -> None:
    with ReservedPort.bind("127.0.0.1", 0) as reserved, pytest.raises(BeatsRefused):
        await follow(f"127.0.0.1:{reserved.address[1]}").__aenter__()


async def test_a_name_that_stands_for_several_addresses_refuses() -> None:
    with ReservedPort.bind("", 0) as reserved, pytest.raises(BeatsRefused):
        await follow(f"localhost:{reserved.address[1]}").__aenter__()


async def test_a_name_leads_to_its_server(served: tuple[RpcServer, str]) -> None:
    port = served[1].rpartition(":")[2]
    async with follow(f"localhost:{port}") as beats:
        await take(beats, 2)


async def test_a_server_without_beats_is_unreachable() -> None:
    """Such as Go's, or one of ours whose leadership has not begun."""
    async with serving_beats(Heart(), services=(Probe(),)) as (_, address):
        with pytest.raises(BeatsUnreachable, match="UNIMPLEMENTED: unknown method"):
            await follow(address).__aenter__()


async def test_a_server_that_has_nothing_to_say_is_unreachable() -> None:
    def not_now() -> Beat:
        raise NotServing("between two terms")

    async with serving_beats(not_now) as (server, address):
        with pytest.raises(BeatsUnreachable, match="UNAVAILABLE: between two terms"):
            await follow(address).__aenter__()
        await eventually(lambda: server.connections == 0)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 200])
async def test_a_port_that_speaks_something_else_is_unreachable(greeting: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BeatsUnreachable):
            await follow(f"127.0.0.1:{port}").__aenter__()


async def test_a_listener_that_never_accepts_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BeatsUnreachable, match=r"no beat within 0\.1 s"):
            await BeatStream(f"127.0.0.1:{port}", None, 0.1).__aenter__()
    assert not_cancelled()


@pytest.mark.parametrize(
    "address",
    [
        "no-such-host.invalid:53100",
        "x" * 100 + ":53100",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:http",
        ":53100",
        "127.0.0.1",
        "",
    ],
)
async def test_what_is_no_address_is_unreachable(address: str) -> None:
    with pytest.raises(BeatsUnreachable):
        await follow(address).__aenter__()


async def test_a_reader_that_is_late_hears_what_was_said_before_the_end(
    served: tuple[RpcServer, str],
) -> None:
    server, address = served
    async with follow(address) as beats:
        assert beats._reader is not None
        reader = beats._reader
        await eventually(lambda: len(reader._beats) >= 5)
        await server.abort(reason="deposed")
        await eventually(lambda: reader._end is not None)
        epochs = [(await beats.next()).epoch for _ in range(5)]
        assert epochs == [0, 1, 2, 3, 4]
        with pytest.raises(BeatsEnded, match="deposed"):
            await listen(beats)


async def test_beats_are_read_inside_their_block(served: tuple[RpcServer, str]) -> None:
    with pytest.raises(RuntimeError, match="inside its"):
        await follow(served[1]).next()
