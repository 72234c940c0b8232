"""A role is found and called while its processes move, restart, hang, refuse and go away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from milvus_coord.clients.active_channel import Endpoint
from milvus_coord.clients.active_client import ActiveClient, Caller
from milvus_coord.clients.errors import CallError
from milvus_coord.etcd.errors import Unavailable
from milvus_coord.model.errors import NotServing
from milvus_coord.pb.milvus.proto.common import ErrorCode
from milvus_coord.pb.milvus.proto.data import (
    GcConfirmRequest,
    GcConfirmResponse,
    ImportTaskRequest,
    ImportTaskResponse,
)
from milvus_coord.rpc.port import ReservedPort
from testing.fake_services import Registry, fake, refusal
from testing.rpc import eventually

SERVICE = "milvus.proto.data.DataCoord"
CALLER = Caller(cluster="by-dev", server_id=3)


@contextlib.contextmanager
def _client(
    registry: Registry, caller: Caller = CALLER, *, look_every_s: float = 60.0
) -> Iterator[ActiveClient]:
    client = ActiveClient("datacoord", SERVICE, registry, caller, look_every_s=look_every_s)
    try:
        yield client
    finally:
        client.close()


async def _ask(client: ActiveClient, *, timeout_s: float = 10.0) -> bool:
    reply = await client.call(
        "GcConfirm", GcConfirmRequest(collection_id=1), GcConfirmResponse, timeout_s=timeout_s
    )
    return reply.gc_finished


async def _import(client: ActiveClient, *, timeout_s: float = 10.0) -> ImportTaskResponse:
    return await client.call(
        "Import", ImportTaskRequest(), ImportTaskResponse, timeout_s=timeout_s, repeatable=False
    )


async def test_one_look_up_and_one_connection_for_all_calls() -> None:
    async with fake("datacoord") as one:
        registry = Registry(one.peer)
        with _client(registry) as client:
            await asyncio.gather(*(_ask(client) for _ in range(50)))
            await _ask(client)
        assert registry.reads == 1
        assert len(one.recorder.asked) == 51


async def test_nobody_registered_is_waited_for() -> None:
    registry = Registry(None)
    with _client(registry) as client:
        call = asyncio.create_task(_ask(client), name="call")
        await eventually(lambda: registry.reads >= 2)
        async with fake("datacoord") as one:
            registry.peer = one.peer
            await call
            assert len(one.recorder.asked) == 1


async def test_nobody_registered_until_the_deadline_is_an_error_that_says_so() -> None:
    with _client(Registry(None)) as client:
        began_s = time.monotonic()
        with pytest.raises(CallError, match=r"^datacoord GcConfirm: no datacoord is registered$"):
            await _ask(client, timeout_s=0.3)
        assert time.monotonic() - began_s < 3


async def test_a_process_that_is_gone_is_followed_to_its_successor() -> None:
    async with fake("datacoord") as old, fake("datacoord", server_id=8) as new:
        registry = Registry(old.peer)
        with _client(registry) as client:
            await _ask(client)
            await old.server.abort()
            call = asyncio.create_task(_ask(client), name="call")
            await eventually(lambda: registry.reads >= 2)
            registry.peer = new.peer
            await call
        assert len(new.recorder.asked) == 1


async def test_a_restart_on_the_same_address_is_found_by_its_server_id() -> None:
    async with fake("datacoord", server_id=7) as old:
        registry = Registry(old.peer)
        with _client(registry) as client:
            await _ask(client)
            await old.server.abort()
            async with fake("datacoord", server_id=8, port=old.port) as new:
                call = asyncio.create_task(_ask(client), name="call")
                await eventually(lambda: registry.reads >= 2)
                assert not new.recorder.asked
                registry.peer = new.peer
                await call
                assert len(new.recorder.asked) == 1


async def test_a_process_of_another_cluster_is_never_asked() -> None:
    async with fake("datacoord", cluster="other") as alien:
        with _client(Registry(alien.peer)) as client:
            with pytest.raises(CallError, match="cross cluster routing") as failed:
                await _ask(client, timeout_s=1.5)
            assert failed.value.unseen
        assert not alien.recorder.asked


async def test_not_ready_is_repeated() -> None:
    async with fake("datacoord") as one:
        one.recorder.refusals = [refusal(ErrorCode.NotReadyServe, "still activating")] * 2
        with _client(Registry(one.peer)) as client:
            await _ask(client)
        assert len(one.recorder.asked) == 3


async def test_a_deposed_process_that_stays_not_ready_is_left_for_its_successor() -> None:
    async with fake("datacoord") as old, fake("datacoord", server_id=8) as new:
        old.recorder.refusals = [refusal(ErrorCode.NotReadyServe, "standby")] * 100
        registry = Registry(old.peer)
        with _client(registry) as client:
            call = asyncio.create_task(_ask(client), name="call")
            await eventually(lambda: bool(old.recorder.asked))
            registry.peer = new.peer
            await call


async def test_not_ready_until_the_deadline_tells_the_reason() -> None:
    async with fake("datacoord") as one:
        one.recorder.refusals = [refusal(ErrorCode.NotReadyServe, "still activating")] * 100
        told = pytest.raises(CallError, match="not ready: still activating")
        with _client(Registry(one.peer)) as client, told:
            await _ask(client, timeout_s=1.5)


async def test_other_statuses_are_the_callers_affair() -> None:
    async with fake("datacoord") as one:
        one.recorder.refusals = [refusal(ErrorCode.UnexpectedError, "no")]
        with _client(Registry(one.peer)) as client:
            reply = await client.call(
                "GcConfirm", GcConfirmRequest(), GcConfirmResponse, timeout_s=5.0
            )
        assert reply.status.reason == "no"
        assert len(one.recorder.asked) == 1


async def test_calls_that_hang_are_repeated_where_the_session_has_gone() -> None:
    async with fake("datacoord") as old, fake("datacoord", server_id=8) as new:
        old.recorder.hold = asyncio.Event()
        registry = Registry(old.peer)
        with _client(registry, look_every_s=0.05) as client:
            calls = [asyncio.create_task(_ask(client), name="call") for _ in range(3)]
            await eventually(lambda: len(old.recorder.asked) == 3)
            registry.peer = new.peer
            await asyncio.gather(*calls)
        assert len(new.recorder.asked) == 3


async def test_a_call_that_hangs_ends_at_its_deadline() -> None:
    async with fake("datacoord") as one:
        one.recorder.hold = asyncio.Event()
        with _client(Registry(one.peer), look_every_s=0.05) as client:
            with pytest.raises(CallError, match="no reply in time") as failed:
                await _ask(client, timeout_s=0.3)
            assert not failed.value.unseen
            assert client.endpoint == one.peer


async def test_trouble_of_the_resolver_is_waited_out() -> None:
    async with fake("datacoord") as one:
        registry = Registry(one.peer, failures=[Unavailable("etcd is away", sent=False)] * 2)
        with _client(registry) as client:
            await _ask(client)
        assert registry.reads == 3


async def test_a_resolver_that_hangs_is_bounded_by_the_deadline() -> None:
    async def hang() -> Endpoint | None:
        await asyncio.Event().wait()
        return None

    client = ActiveClient("datacoord", SERVICE, hang, CALLER)
    try:
        with pytest.raises(CallError, match="could not be looked up within"):
            await _ask(client, timeout_s=0.2)
    finally:
        client.close()


async def test_what_must_not_happen_twice_is_not_repeated_when_it_may_have_been_seen() -> None:
    async with fake("datacoord") as one:
        one.recorder.hold = asyncio.Event()
        with _client(Registry(one.peer)) as client:
            call = asyncio.create_task(_import(client), name="call")
            await eventually(lambda: bool(one.recorder.asked))
            await one.server.abort()
            with pytest.raises(CallError) as failed:
                await call
        assert not failed.value.unseen
        assert len(one.recorder.asked) == 1


async def test_what_must_not_happen_twice_is_repeated_when_it_was_certainly_not_seen() -> None:
    with ReservedPort.bind("127.0.0.1", 0) as nobody:  # bound, and refusing
        registry = Registry(Endpoint(f"127.0.0.1:{nobody.address[1]}", 7))
        with _client(registry) as client:
            call = asyncio.create_task(_import(client), name="call")
            await eventually(lambda: registry.reads >= 2)
            async with fake("datacoord", server_id=8) as one:
                registry.peer = Endpoint(one.peer.address, 99)  # refused: server ID mismatch
                reads = registry.reads
                await eventually(lambda: registry.reads >= reads + 2)
                one.recorder.refusals = [refusal(ErrorCode.NotReadyServe, "standby")]
                registry.peer = one.peer
                await call
                assert len(one.recorder.asked) == 2


async def test_who_may_not_act_any_more_does_not_repeat() -> None:
    rights = [True, True, False]

    def permit() -> None:
        if not rights.pop(0):
            raise NotServing("the serve lease lapsed")

    async with fake("datacoord") as one:
        one.recorder.refusals = [refusal(ErrorCode.NotReadyServe, "activating")] * 9
        told = pytest.raises(NotServing, match="the serve lease lapsed")
        with _client(Registry(one.peer), Caller("by-dev", 3, permit)) as client, told:
            await _ask(client)
        assert len(one.recorder.asked) == 2


async def test_cancelling_the_call_that_looks_up_does_not_harm_those_who_wait_for_it() -> None:
    gate = asyncio.Event()
    async with fake("datacoord") as one:

        async def resolve() -> Endpoint | None:
            await gate.wait()
            return one.peer

        client = ActiveClient("datacoord", SERVICE, resolve, CALLER)
        try:
            first = asyncio.create_task(_ask(client), name="first")
            second = asyncio.create_task(_ask(client), name="second")
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            gate.set()
            await second
        finally:
            client.close()


async def test_a_closed_client_fails_its_calls() -> None:
    async with fake("datacoord") as one:
        one.recorder.hold = asyncio.Event()
        with _client(Registry(one.peer)) as client:
            call = asyncio.create_task(_ask(client), name="call")
            await eventually(lambda: bool(one.recorder.asked))
        with pytest.raises(CallError, match="closed"):
            await call
        with pytest.raises((CallError, NotServing), match="closed"):
            await _ask(client)


async def test_a_client_that_is_closed_during_a_look_up_fails_its_calls_at_once() -> None:
    looking = asyncio.Event()

    async def hang() -> Endpoint | None:
        looking.set()
        await asyncio.Event().wait()
        return None

    client = ActiveClient("datacoord", SERVICE, hang, CALLER)
    call = asyncio.create_task(_ask(client, timeout_s=60.0), name="call")
    await asyncio.wait_for(looking.wait(), 5)
    client.close()
    with pytest.raises(CallError, match="the client of datacoord is closed"):
        await asyncio.wait_for(call, 5)
