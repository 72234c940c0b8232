"""The time ticks of a term, on a clock that is moved by hand and a queue that hangs as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError, Refused
from milvus_coord.model.timestamps import Timestamp, compose, physical_ms
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.telemetry.log import log
from testing.role_world import turns
from testing.rpc import eventually

A, B = "by-dev-rootcoord-dml_0", "by-dev-rootcoord-dml_1"
INTERVAL_S = 0.2


class HybridClock:
    """Timestamps of the manual clock; each larger than all before. `gate` holds takers up."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock, self.last = clock, 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble: CoordError | None = None

    async def take(self, count: int) -> Timestamp:
        if self.trouble is not None:
            raise self.trouble
        self.last = max(self.last, compose(self._clock.wall_ns() // 1_000_000, 0)) + count
        ts = Timestamp(self.last)
        await self.gate.wait()
        return ts


class Queue:
    """What each channel has got; a channel may hang until told, or fail."""

    def __init__(self) -> None:
        self.got: dict[str, list[int]] = {}
        self.tried: dict[str, int] = {}
        self.hanging: dict[str, asyncio.Event] = {}
        self.failing: dict[str, CoordError] = {}

    async def send(self, channel: str, payload: bytes) -> bytes:
        self.tried[channel] = self.tried.get(channel, 0) + 1
        if channel in self.hanging:
            await self.hanging[channel].wait()
        if channel in self.failing:
            raise self.failing[channel]
        self.got.setdefault(channel, []).append(int(payload))
        return b""

    def last(self, channel: str) -> int:
        return self.got.get(channel, [0])[-1]


class Observed:
    def __init__(self) -> None:
        self.lags: dict[str, int] = {}
        self.rounds: list[float] = []
        self.released: list[str] = []

    def sent(self, channel: str, lag_ms: int) -> None:
        self.lags[channel] = lag_ms

    def round_done(self, elapsed_ms: float) -> None:
        self.rounds.append(elapsed_ms)

    def unused(self, channel: str) -> None:
        self.released.append(channel)


class Scene:
    """Ticks that run, and all that they touch."""

    def __init__(self, *, lease_s: float = 1e9) -> None:
        self.clock = ManualClock()
        self.timestamps = HybridClock(self.clock)
        self.queue, self.observed = Queue(), Observed()
        self.serve = ServeLease(self.clock, lease_s, self.clock.boottime())
        self.ticks = Ticks(
            queue=self.queue,
            encode=lambda ts: b"%d" % ts,
            timestamps=self.timestamps,
            serve=self.serve,
            clock=self.clock,
            interval_s=INTERVAL_S,
            observer=cast(Any, self.observed),
        )

    async def rounds(self, count: int = 1) -> None:
        """Let `count` intervals pass, each with all that follows from it."""
        for _ in range(count):
            self.clock.advance(INTERVAL_S)
            await turns()

    async def report(self, *proxies: int) -> None:
        for proxy in proxies:
            self.ticks.report(proxy, [], [], await self.timestamps.take(1))


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[Scene]:
    task = asyncio.create_task(scene.ticks.run(), name="ticks")
    try:
        await turns()
        yield scene
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Ticks of channels A and B, without proxies."""
    async with running(Scene()) as made:
        made.ticks.use([A, B])
        made.ticks.proxies_changed([])
        yield made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, object]]]:
    """Level, message and fields of what was logged."""
    lines: list[tuple[str, str, dict[str, object]]] = []

    def recorder(level: str) -> Callable[..., None]:
        return lambda message, **fields: lines.append((level, message, fields))

    monkeypatch.setattr(type(log), "warn", staticmethod(recorder("WARN")))
    monkeypatch.setattr(type(log), "info", staticmethod(recorder("INFO")))
    return lines


async def test_every_channel_in_use_gets_a_growing_tick_each_round(scene: Scene) -> None:
    await scene.rounds(3)
    for channel in (A, B):
        assert len(scene.queue.got[channel]) == 3
        assert scene.queue.got[channel] == sorted(set(scene.queue.got[channel]))
    assert scene.observed.lags[A] == 0
    assert len(scene.observed.rounds) == 3


async def test_no_tick_before_the_proxies_are_listed() -> None:
    async with running(Scene()) as scene:
        scene.ticks.use([A])
        await scene.rounds(2)
        assert scene.queue.got == {}
        scene.ticks.proxies_changed([])
        await scene.rounds()
        assert scene.queue.last(A) > 0


async def test_a_channel_is_ticked_while_it_has_a_user(scene: Scene) -> None:
    scene.ticks.use([A])
    scene.ticks.release([A])
    await scene.rounds()
    assert len(scene.queue.got[A]) == 1
    scene.ticks.release([A])
    await scene.rounds()
    assert len(scene.queue.got[A]) == 1
    assert scene.observed.released == [A]
    assert list(scene.ticks.used) == [B]


async def test_ticks_go_on_above_after_a_pause_of_use(scene: Scene) -> None:
    await scene.rounds()
    scene.ticks.release([A])
    scene.ticks.use([A])
    await scene.rounds()
    first, second = scene.queue.got[A]
    assert second > first


async def test_a_registered_proxy_that_stops_reporting_holds_its_promise(scene: Scene) -> None:
    scene.ticks.proxies_changed([5])
    await scene.report(5)
    promised = scene.timestamps.last
    await scene.rounds(30)
    assert scene.queue.got[A] == [promised]
    scene.ticks.proxies_changed([])
    await scene.rounds()
    assert scene.queue.last(A) > promised


async def test_strangers_and_our_own_id_may_not_report(scene: Scene) -> None:
    with pytest.raises(Refused, match="un-recognized session 1"):
        scene.ticks.report(1, [], [], 2**64 - 1)


async def test_a_stamp_holds_its_channels_until_its_message_is_out(scene: Scene) -> None:
    await scene.rounds()
    async with scene.ticks.stamp([A]) as ts:
        await scene.rounds(3)
        assert scene.queue.last(A) < ts < scene.queue.last(B)
    await scene.rounds()
    assert scene.queue.last(A) > ts


async def test_no_tick_overtakes_a_stamp_that_is_being_taken(scene: Scene) -> None:
    """The oracle has handed the timestamp out, but its taker has not gone on yet."""
    await scene.rounds()
    scene.timestamps.gate.clear()
    entered = asyncio.Event()
    leave = asyncio.Event()
    taken: list[int] = []

    async def statement() -> None:
        async with scene.ticks.stamp([A]) as ts:
            taken.append(ts)
            entered.set()
            await leave.wait()

    task = asyncio.create_task(statement(), name="statement")
    await turns()
    scene.clock.advance(INTERVAL_S)
    await turns()  # our own promise is being taken too, and is larger
    scene.timestamps.gate.set()
    await asyncio.wait_for(entered.wait(), 5)
    await scene.rounds(2)
    assert scene.queue.last(A) < taken[0] < scene.queue.last(B)
    leave.set()
    await task
    await scene.rounds()
    assert scene.queue.last(A) > taken[0]


async def test_a_stamp_that_fails_holds_nothing(scene: Scene) -> None:
    scene.timestamps.trouble = CoordError("no timestamp to be had")
    with pytest.raises(CoordError, match="no timestamp"):
        async with scene.ticks.stamp([A]):
            raise AssertionError("not reached")
    scene.timestamps.trouble = None
    await scene.rounds()
    assert scene.queue.last(A) == scene.queue.last(B) > 0


async def test_a_stamp_whose_statement_is_cancelled_holds_nothing(scene: Scene) -> None:
    entered = asyncio.Event()

    async def statement() -> None:
        async with scene.ticks.stamp([A]):
            entered.set()
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(statement(), name="statement")
    await asyncio.wait_for(entered.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await scene.rounds()
    assert scene.queue.last(A) == scene.queue.last(B) > 0


async def test_one_hanging_channel_stops_no_other(scene: Scene) -> None:
    scene.queue.hanging[A] = asyncio.Event()
    await scene.rounds(5)
    assert len(scene.queue.got[B]) == 5
    assert scene.queue.tried[A] == 1
    del_event = scene.queue.hanging.pop(A)
    del_event.set()
    await scene.rounds(2)
    assert scene.queue.got[A] == sorted(set(scene.queue.got[A]))
    assert scene.queue.last(A) == scene.queue.last(B)


async def test_one_failing_channel_stops_no_other_and_repeats_no_tick(scene: Scene) -> None:
    scene.queue.failing[A] = CoordError("broker down")
    await scene.rounds(3)
    assert len(scene.queue.got[B]) == 3
    assert scene.ticks.produced(A) == 0
    del scene.queue.failing[A]
    await scene.rounds()
    assert scene.queue.got[A] == [scene.queue.last(B)]


async def test_reached_waits_for_the_queue_to_have_it(scene: Scene) -> None:
    scene.queue.hanging[A] = asyncio.Event()
    async with scene.ticks.stamp([A, B]) as ts:
        pass
    waiting = asyncio.create_task(scene.ticks.reached(A, ts), name="reached")
    await scene.rounds(2)
    await asyncio.wait_for(scene.ticks.reached(B, ts), 5)
    assert not waiting.done()
    scene.queue.hanging.pop(A).set()
    await asyncio.wait_for(waiting, 5)
    assert scene.ticks.produced(A) >= ts


async def test_nothing_is_sent_without_the_serve_lease() -> None:
    async with running(Scene(lease_s=0.5)) as scene:
        scene.ticks.use([A])
        scene.ticks.proxies_changed([])
        await scene.rounds(2)
        assert len(scene.queue.got[A]) == 2
        await scene.rounds(5)
        assert scene.queue.tried[A] == 2
        scene.serve.prove(scene.clock.boottime())
        await scene.rounds()
        assert scene.queue.tried[A] == 3


async def test_finish_waits_for_what_is_on_its_way_and_sends_no_more(scene: Scene) -> None:
    scene.queue.hanging[A] = asyncio.Event()
    await scene.rounds()
    finishing = asyncio.create_task(scene.ticks.finish(), name="finish")
    await scene.rounds(2)
    assert not finishing.done()
    assert len(scene.queue.got[B]) == 1
    scene.queue.hanging[A].set()
    await asyncio.wait_for(finishing, 5)
    await scene.rounds(2)
    assert scene.queue.tried == {A: 1, B: 1}


async def test_a_silent_proxy_is_named_once_and_so_is_its_return(
    scene: Scene, said: list[tuple[str, str, dict[str, object]]]
) -> None:
    scene.ticks.proxies_changed([5, 6])
    for _ in range(60):
        await scene.report(6)
        await scene.rounds()
    warned = [fields for level, _, fields in said if level == "WARN"]
    assert [fields["proxy"] for fields in warned] == [5]
    await scene.report(5)
    assert [(level, fields["proxy"]) for level, _, fields in said] == [("WARN", 5), ("INFO", 5)]


async def test_a_silent_proxy_that_goes_is_told_of(
    scene: Scene, said: list[tuple[str, str, dict[str, object]]]
) -> None:
    scene.ticks.proxies_changed([5])
    await scene.rounds(30)
    scene.ticks.proxies_changed([])
    await scene.rounds(30)
    assert [(level, fields["proxy"]) for level, _, fields in said] == [("WARN", 5), ("INFO", 5)]


@pytest.mark.parametrize("way", ["fails", "hangs", "is held", "has writes in flight"])
async def test_a_channel_without_ticks_is_named_once_with_its_reason(
    scene: Scene, said: list[tuple[str, str, dict[str, object]]], way: str
) -> None:
    scene.ticks.proxies_changed([5])
    least = await scene.timestamps.take(1)
    held = scene.ticks.stamp([A])
    match way:
        case "fails":
            scene.queue.failing[A] = CoordError("broker down")
        case "hangs":
            scene.queue.hanging[A] = asyncio.Event()
        case "is held":
            await held.__aenter__()
    for _ in range(60):
        busy = [A] if way == "has writes in flight" else []
        scene.ticks.report(5, busy, [least] * len(busy), await scene.timestamps.take(1))
        await scene.rounds()
    ((level, _, fields),) = said
    assert (level, fields["channel"]) == ("WARN", A)
    reasons = {
        "fails": "broker down",
        "hangs": "the queue has not taken the last one yet",
        "is held": "a statement in flight has not sent its message yet",
        "has writes in flight": "proxy 5 has writes in flight, or is silent",
    }
    assert fields["reason"] == reasons[way]
    scene.queue.failing.clear()
    for event in scene.queue.hanging.values():
        event.set()
    if way == "is held":
        await held.__aexit__(None, None, None)
    await scene.report(5)
    await scene.rounds(2)
    assert [(level, fields["channel"]) for level, _, fields in said] == [("WARN", A), ("INFO", A)]


async def test_without_a_timestamp_the_last_promise_stands(scene: Scene) -> None:
    await scene.rounds()
    scene.timestamps.trouble = CoordError("no timestamp to be had")
    await scene.rounds(3)
    assert len(scene.queue.got[A]) == 1
    scene.timestamps.trouble = None
    await scene.rounds()
    assert len(scene.queue.got[A]) == 2
    assert physical_ms(Timestamp(scene.queue.last(A))) == scene.clock.wall_ns() // 1_000_000


async def test_ends_when_cancelled_with_a_send_that_hangs(scene: Scene) -> None:
    scene.queue.hanging[A] = asyncio.Event()
    await scene.rounds()
    before = {task for task in asyncio.all_tasks() if "tick" in task.get_name()}
    assert any(A in task.get_name() for task in before)
    (loop_task,) = (task for task in before if task.get_name() == "ticks")
    loop_task.cancel()
    await eventually(lambda: all(task.done() for task in before))
