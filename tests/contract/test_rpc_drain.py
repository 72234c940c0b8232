"""How a server ends: drain for a hand-over, abort for a deposed one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.server import ServerState
from testing.rpc import (
    SERVICE,
    CoreClient,
    Served,
    ask,
    closing_channel,
    eventually,
    serving,
    settle,
)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


async def _connect(served: Served) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.close()


async def test_drain_finishes_what_runs_and_refuses_what_is_new(served: Served) -> None:
    with closing_channel(served) as channel:
        running = asyncio.create_task(ask(channel, "Hold", b"kept"), name="running")
        await served.probe.entered.acquire()
        draining = asyncio.create_task(served.drain(5.0), name="drain")
        await eventually(lambda: served.server.state is ServerState.DRAINING)
        began_s = time.monotonic()
        with pytest.raises(GRPCError) as refused:  # on the same connection
            await ask(channel, "Echo")
        assert (refused.value.status, refused.value.message) == (Status.UNAVAILABLE, "draining")
        assert time.monotonic() - began_s < 0.5
        with pytest.raises(ConnectionRefusedError):
            await _connect(served)
        served.probe.release.set()
        assert await running == b"kept"
        await draining
    server = served.server
    assert (server.state, server.connections, server.in_flight) == (ServerState.CLOSED, 0, 0)


async def test_drain_finishes_calls_of_grpcio(served: Served) -> None:
    core = CoreClient(served.target)
    running = core.start("Hold", b"kept")
    await served.probe.entered.acquire()
    draining = asyncio.create_task(served.drain(5.0), name="drain")
    await eventually(lambda: served.server.state is ServerState.DRAINING)
    assert await core.ask("Echo") == ("UNAVAILABLE", "draining")
    served.probe.release.set()
    assert await settle(running) == ("OK", b"kept")
    await draining
    code, _ = await core.ask("Echo")
    assert code == "UNAVAILABLE"
    core.close()


async def test_drain_waits_no_longer_than_its_grace(served: Served) -> None:
    core = CoreClient(served.target)
    running = core.start("Hold")
    await served.probe.entered.acquire()
    began_s = time.monotonic()
    await served.drain(0.2, reason="handed over")
    assert 0.2 <= time.monotonic() - began_s < 1.5
    assert await settle(running) == ("UNAVAILABLE", "handed over")
    assert served.probe.cancelled.is_set()
    core.close()


async def test_drain_of_an_idle_server_is_quick(served: Served) -> None:
    core = CoreClient(served.target)
    assert (await core.ask("Echo"))[0] == "OK"
    began_s = time.monotonic()
    await served.drain(30.0)
    assert time.monotonic() - began_s < 1.0
    core.close()


async def test_drain_does_not_wait_for_streams(served: Served) -> None:
    async def listen_to_beats() -> None:
        async with channel.request(
            f"{SERVICE}/Beats", Cardinality.UNARY_STREAM, bytes, bytes
        ) as stream:
            await stream.send_message(b"", end=True)
            async for message in stream:
                assert message == b"beat"

    with closing_channel(served) as channel:
        listening = asyncio.create_task(listen_to_beats(), name="beats")
        await served.probe.entered.acquire()
        async with asyncio.timeout(2):
            await served.drain(30.0)
        with pytest.raises(GRPCError, match="draining"):
            await listening


async def test_abort_answers_everything_unavailable_at_once(served: Served) -> None:
    core = CoreClient(served.target)
    held = [core.start("Hold") for _ in range(20)]
    stubborn = core.start("Stubborn")
    for _ in range(21):
        await served.probe.entered.acquire()
    began_s = time.monotonic()
    await served.server.abort(reason="deposed")
    assert time.monotonic() - began_s < 1.0
    for call in [*held, stubborn]:
        assert await settle(call) == ("UNAVAILABLE", "deposed")
    assert served.probe.cancelled.is_set()
    assert (await core.ask("Echo"))[0] == "UNAVAILABLE"
    with pytest.raises(ConnectionRefusedError):
        await _connect(served)
    core.close()


async def test_an_old_connection_is_never_answered_after_abort(served: Served) -> None:
    """Calls that are already in our socket when we are deposed must not succeed either."""
    with closing_channel(served) as channel:
        await ask(channel, "Echo")
        calls = [asyncio.create_task(ask(channel, "Echo"), name=f"call {n}") for n in range(50)]
        await asyncio.sleep(0)  # the calls are written, none is read by the server yet
        aborting = asyncio.create_task(served.server.abort(), name="abort")
        outcomes: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        await aborting
    assert len(served.probe.echoed) == 1
    assert all(
        isinstance(outcome, GRPCError | StreamTerminatedError | OSError) for outcome in outcomes
    )


async def test_abort_during_drain_ends_it(served: Served) -> None:
    core = CoreClient(served.target)
    running = core.start("Hold")
    await served.probe.entered.acquire()
    draining = asyncio.create_task(served.drain(30.0), name="drain")
    await eventually(lambda: served.server.state is ServerState.DRAINING)
    await served.server.abort()
    async with asyncio.timeout(2):
        await draining
    assert (await settle(running))[0] == "UNAVAILABLE"
    core.close()


async def test_what_waits_is_cut_when_waiting_for_it_was_cancelled(served: Served) -> None:
    core = CoreClient(served.target)
    running = core.start("Hold")
    await served.probe.entered.acquire()
    quiescing = asyncio.create_task(served.server.quiesce(30.0), name="quiesce")
    await eventually(lambda: served.server.state is ServerState.DRAINING)
    quiescing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await quiescing
    await served.server.abort()
    assert (await settle(running))[0] == "UNAVAILABLE"
    assert served.server.connections == 0
    core.close()


async def test_a_silent_client_does_not_hold_the_end(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    await eventually(lambda: served.server.connections == 1)
    began_s = time.monotonic()
    await served.drain(0.0)  # the peer neither speaks nor closes
    assert time.monotonic() - began_s < 2.5
    assert served.server.connections == 0
    writer.close()
    assert b"draining" in await reader.read()  # the GOAWAY says why


@pytest.mark.parametrize("how", ["drain", "abort"])
async def test_the_port_can_be_reserved_and_served_again_at_once(how: str) -> None:
    async with serving() as first:
        core = CoreClient(first.target)
        assert (await core.ask("Echo"))[0] == "OK"
        await (first.drain(1.0) if how == "drain" else first.server.abort())
        with ReservedPort.bind("127.0.0.1", first.port):
            pass
        async with serving(port=first.port) as second:
            with closing_channel(second) as channel:
                assert await ask(channel, "Echo", b"again") == b"again"
        core.close()


async def test_the_port_is_free_while_a_drain_goes_on(served: Served) -> None:
    """A standby on the same host may listen while we finish our calls."""
    core = CoreClient(served.target)
    running = core.start("Hold", b"old")
    await served.probe.entered.acquire()
    draining = asyncio.create_task(served.drain(5.0), name="drain")
    await eventually(lambda: served.server.state is ServerState.DRAINING)
    async with serving(port=served.port) as successor:
        with closing_channel(successor) as channel:
            assert await ask(channel, "Echo", b"new") == b"new"
        served.probe.release.set()
        assert await settle(running) == ("OK", b"old")
        await draining
    core.close()


async def test_a_server_listens_once(served: Served) -> None:
    with ReservedPort.bind("127.0.0.1", 0) as other:
        with pytest.raises(RuntimeError, match="listens once"):
            await served.server.listen(other)
        await served.server.abort()
        with pytest.raises(RuntimeError, match="closed"):
            await served.server.listen(other)
