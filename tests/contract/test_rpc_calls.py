"""Calls over real sockets: replies, guards, statuses, deadlines, clients that go away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from milvus_coord.model.errors import BadValue, FencedOff
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


@pytest.fixture
async def core(served: Served) -> AsyncIterator[CoreClient]:
    client = CoreClient(served.target)
    yield client
    client.close()


async def test_both_stacks_are_answered(served: Served, core: CoreClient) -> None:
    with closing_channel(served) as channel:
        assert await ask(channel, "Echo", b"one") == b"one"
    assert await core.ask("Echo", b"two") == ("OK", b"two")
    assert len(served.probe.echoed) == 2


async def test_300_calls_run_at_once_on_one_connection(served: Served) -> None:
    with closing_channel(served) as channel:
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(ask(channel, "Hold", b"%d" % n), name=f"call {n}")
                for n in range(300)
            ]
            await eventually(lambda: served.server.in_flight == 300)
            assert served.server.connections == 1
            served.probe.release.set()
        assert [call.result() for call in calls] == [b"%d" % n for n in range(300)]


async def test_300_calls_of_grpcio_run_at_once(served: Served, core: CoreClient) -> None:
    calls = [core.start("Hold", b"%d" % n) for n in range(300)]
    await eventually(lambda: served.server.in_flight == 300)
    served.probe.release.set()
    replies = await asyncio.to_thread(lambda: [call.result() for call in calls])
    assert replies == [b"%d" % n for n in range(300)]


async def test_an_empty_method_of_a_generated_base_is_named(
    served: Served, core: CoreClient
) -> None:
    assert await core.ask("AllocFoo") == (
        "UNIMPLEMENTED",
        "AllocFoo is not implemented by this rootcoord yet",
    )


@pytest.mark.parametrize("path", [f"{SERVICE}/Nope", "/no.such.Service/Nope"])
async def test_an_unknown_method_is_named(served: Served, core: CoreClient, path: str) -> None:
    assert await core.ask(path) == ("UNIMPLEMENTED", f"unknown method {path}")
    with closing_channel(served) as channel, pytest.raises(GRPCError) as refused:
        await ask(channel, path)
    assert (refused.value.status, refused.value.message) == (
        Status.UNIMPLEMENTED,
        f"unknown method {path}",
    )


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (GRPCError(Status.ABORTED, "as it is"), "ABORTED", "as it is"),
        (BadValue("key a/b holds x"), "UNKNOWN", "key a/b holds x"),
        (FencedOff("lost the role"), "UNAVAILABLE", "lost the role"),
        (RuntimeError("boom ü\n"), "UNKNOWN", "Fail: RuntimeError: boom ü\n"),
        (TimeoutError("etcd"), "UNKNOWN", "Fail: TimeoutError: etcd"),
    ],
)
async def test_an_error_of_a_handler_reaches_the_client_with_its_text(
    served: Served,
    core: CoreClient,
    failure: Exception,
    code: str,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    served.probe.failure = failure
    assert await core.ask("Fail") == (code, text)
    lines = capsys.readouterr().out.splitlines()
    logged = [line for line in lines if f"method={SERVICE}/Fail" in line]
    assert len(logged) == (0 if isinstance(failure, GRPCError) else 1)


async def test_a_handler_without_a_reply_is_an_error(served: Served, core: CoreClient) -> None:
    assert await core.ask("Silent") == ("UNKNOWN", "Silent ended without a reply")


async def test_an_unreadable_request_is_the_clients_fault(
    served: Served, core: CoreClient, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = await core.ask("Echo", b"garbage")
    assert code == "INVALID_ARGUMENT"
    assert text == "Echo: cannot read the request: does not match the schema"
    assert "[ERROR]" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        (
            {"cluster": "other"},
            "expectedCluster=by-dev, actualCluster=other: cross cluster routing",
        ),
        (
            {"cluster": "by-dev", "serverid": "999"},
            "expected=%!s(int64=999), actual=%!s(int64=1): server ID mismatch",
        ),
        ({"serverid": "0"}, "expected=%!s(int64=0), actual=%!s(int64=1): server ID mismatch"),
        (
            {"cluster": "other", "serverid": "999"},
            "expectedCluster=by-dev, actualCluster=other: cross cluster routing",
        ),
    ],
)
async def test_calls_for_somebody_else_are_refused_in_gos_words(
    served: Served, core: CoreClient, metadata: dict[str, str], text: str
) -> None:
    assert await core.ask("Echo", metadata=metadata) == ("UNKNOWN", text)
    with closing_channel(served) as channel, pytest.raises(GRPCError) as refused:
        await ask(channel, "Echo", metadata=metadata)
    assert (refused.value.status, refused.value.message) == (Status.UNKNOWN, text)
    assert served.probe.echoed == []


@pytest.mark.parametrize(
    "metadata",
    [{}, {"cluster": ""}, {"serverid": "abc"}, {"serverid": ""}, {"serverid": "1"}],
)
async def test_calls_that_name_nobody_pass(
    served: Served, core: CoreClient, metadata: dict[str, str]
) -> None:
    assert await core.ask("Echo", metadata=metadata) == ("OK", b"x")


async def test_the_server_id_is_asked_at_each_call() -> None:
    own = [1]
    async with serving(server_id=lambda: own[0]) as served:
        with closing_channel(served) as channel:
            assert await ask(channel, "Echo", metadata={"serverid": "1"})
            own[0] = 2
            with pytest.raises(GRPCError, match="actual=%!s"):
                await ask(channel, "Echo", metadata={"serverid": "1"})


async def test_admission_may_refuse_by_method() -> None:
    def admission(method: str) -> None:
        if method.endswith("/Echo"):
            raise GRPCError(Status.UNAVAILABLE, "not ready")

    async with serving(admission=admission) as served:
        with closing_channel(served) as channel:
            with pytest.raises(GRPCError, match="not ready"):
                await ask(channel, "Echo")
            assert len(await ask(channel, "Inflate", b"3")) == 3


async def test_the_handler_knows_its_call(
    served: Served, core: CoreClient, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = {"uber-trace-id": "abc:1:0:1", "extra": "e"}
    await core.ask("Echo", metadata=metadata, timeout_s=5.0)
    await core.ask("Echo", metadata={"client_request_id": "req-7", **metadata})
    first, _ = served.probe.echoed
    assert first.method == f"{SERVICE}/Echo"
    assert first.peer_name.startswith("127.0.0.1:")
    assert first.metadata["extra"] == "e"
    assert 0 < first.deadline.time_remaining() <= 5.1  # C core rounds a time-out up
    logged = [
        line
        for line in capsys.readouterr().out.splitlines()
        if '["echo"]' in line or "echo" in line
    ]
    assert ["traceID=abc" in logged[0], "traceID=req-7" in logged[1]] == [True, True]


async def test_the_deadline_of_the_caller_ends_the_handler(
    served: Served, core: CoreClient
) -> None:
    began_s = time.monotonic()
    code, _ = await core.ask("Hold", timeout_s=0.2)
    assert code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began_s < 2
    async with asyncio.timeout(2):
        await served.probe.cancelled.wait()


async def test_a_client_that_leaves_cancels_its_handler_only(served: Served) -> None:
    channel, other = served.channel(), served.channel()
    gone = asyncio.create_task(ask(channel, "Hold"), name="gone")
    stays = asyncio.create_task(ask(other, "Hold", b"kept"), name="stays")
    await served.probe.entered.acquire()
    await served.probe.entered.acquire()
    channel.close()
    with pytest.raises(StreamTerminatedError):
        await gone
    async with asyncio.timeout(2):
        await served.probe.cancelled.wait()
    await eventually(lambda: served.server.in_flight == 1)
    served.probe.release.set()
    assert await stays == b"kept"
    other.close()


async def test_a_client_that_cancels_stops_its_handler(served: Served, core: CoreClient) -> None:
    call = core.start("Hold")
    await served.probe.entered.acquire()
    call.cancel()
    async with asyncio.timeout(2):
        await served.probe.cancelled.wait()
    assert await core.ask("Echo") == ("OK", b"x")


async def test_work_that_its_owner_cancels_is_answered(served: Served, core: CoreClient) -> None:
    call = core.start("Shielded")
    await served.probe.entered.acquire()
    assert served.probe.work is not None
    served.probe.work.cancel()
    assert await settle(call) == ("UNAVAILABLE", "Shielded: the work was abandoned")


async def test_shielded_work_outlives_its_caller(served: Served) -> None:
    channel = served.channel()
    caller = asyncio.create_task(ask(channel, "Shielded"), name="caller")
    await served.probe.entered.acquire()
    channel.close()
    with pytest.raises(StreamTerminatedError):
        await caller
    await eventually(lambda: served.server.in_flight == 0)
    assert not served.probe.work_done.is_set()
    served.probe.release.set()
    async with asyncio.timeout(2):
        await served.probe.work_done.wait()
