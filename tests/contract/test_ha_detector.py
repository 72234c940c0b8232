"""The watch over one active: real processes, real beats, and what holds an order back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.decisions import Outcome, Reply
from milvus_coord.ha.detection.detector import Detector
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.pair.operator_records import Pause
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.ha.settings import HaSettings
from milvus_coord.rpc.heartbeat.message import Beat
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.parent_death import killed_with_parent
from milvus_coord.runtime.processes import ProcessIdentity
from milvus_coord.telemetry.metrics import Metrics
from testing.beats import serving_beats
from testing.ports import free_ports
from testing.role_world import KEYS

ROOT = Path(__file__).parents[2]
EPOCH = 30
BEAT_S = 0.02
TELL = (
    "from milvus_coord.runtime.processes import ProcessIdentity; import json, sys;"
    "print(json.dumps(ProcessIdentity.mine().fields()), flush=True); sys.stdin.read()"
)
SETTINGS = HaSettings(
    role="rootcoord",
    title="RootCoord",
    meta_root="by-dev/meta",
    address="h:1",
    active_standby=True,
    session_ttl_s=10,
    serve_lease_s=1.0,
    beat_s=BEAT_S,
    challenge_s=0.3,
    early_per_minute=1,
    early_per_ten_minutes=3,
)
CALM = replace(SETTINGS, beat_s=0.1)
"""Beats that a busy machine does not delay until they look like silence."""


class Watcher:
    """What a detector works with; `replies` are what its challenges come to, the last for ever."""

    def __init__(self, *replies: Outcome) -> None:
        self.clock = SystemClock()
        self.pair = PairState(None, self.clock, KEYS)  # type: ignore[arg-type]  # it never listens
        self.know(listed=True)
        self.replies = list(replies) or [Outcome.UNANSWERED]
        self.asked: list[int] = []
        self.asking: Callable[[], None] = lambda: None
        self.obstacles: tuple[str, ...] = ()

    def know(self, **more: Any) -> None:
        """Let the pair's keys say so from now on."""
        self.pair.snapshot = replace(self.pair.snapshot, **more)

    async def ask(self, epoch: int) -> Reply:
        self.asked.append(epoch)
        self.asking()
        await asyncio.sleep(0)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return Reply(reply, answer_revision=5)

    def detector(self, holder: SessionRecord, settings: HaSettings = SETTINGS) -> Detector:
        active = KeyValue(KEYS.active, holder.encode(), 0xB, 1, EPOCH, EPOCH)
        challenger: Any = self
        metrics = HaMetrics(Metrics())
        obstacles = lambda: self.obstacles  # noqa: E731 - a protocol of one call
        return Detector(
            self.clock, settings, self.pair, challenger, metrics, obstacles, active, holder
        )


def holder(address: str, **more: Any) -> SessionRecord:
    return replace(SessionRecord(7, "rootcoord", address, fenced=True), **more)


class Heart:
    """Beats of the term that is watched."""

    def __init__(self) -> None:
        self.epoch, self.unproven_s = EPOCH, 0.0
        self.sent = 0

    def __call__(self) -> Beat:
        self.sent += 1
        return Beat(7, self.epoch, worst_lag_s=0.0, unproven_s=self.unproven_s)


@asynccontextmanager
async def watching(detector: Detector) -> AsyncIterator[asyncio.Task[ReplacementOrder]]:
    task = asyncio.create_task(detector.wait_for_failure(), name="detect")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def within(seconds: float, task: Awaitable[ReplacementOrder]) -> ReplacementOrder:
    return await asyncio.wait_for(task, seconds)


async def nothing_for(seconds: float, task: asyncio.Task[ReplacementOrder]) -> None:
    """It goes on watching; an order or an error is raised at once."""
    await asyncio.wait((task,), timeout=seconds)
    assert not task.done(), task.result()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[bytes], ProcessIdentity]]:
    process = subprocess.Popen(
        [*killed_with_parent(), sys.executable, "-c", TELL],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        identity = ProcessIdentity.from_fields(json.loads(process.stdout.readline()))
        assert identity is not None
        yield process, identity
    finally:
        process.kill()
        process.communicate()


Child = tuple[subprocess.Popen[bytes], ProcessIdentity]


async def test_a_process_that_is_killed_is_replaced_at_once_unasked(child: Child) -> None:
    process, identity = child
    watcher = Watcher(Outcome.ANSWERED)
    dead = holder(f"127.0.0.1:{free_ports(1)[0]}", process=identity)
    async with watching(watcher.detector(dead)) as task:
        await nothing_for(0.05, task)
        process.kill()
        killed_s = watcher.clock.boottime()
        order = await within(2, task)
    assert watcher.clock.boottime() - killed_s < 0.5
    assert order.proven_dead
    assert (order.cause, order.answer_revision) == (Cause.PROCESS_DIED, None)
    assert order.active.mod_revision == EPOCH


async def test_even_a_dead_one_is_left_alone_while_paused(child: Child) -> None:
    process, identity = child
    watcher = Watcher(Outcome.ANSWERED)
    watcher.know(pause=Pause("ann", 1))
    dead = holder(f"127.0.0.1:{free_ports(1)[0]}", process=identity)
    async with watching(watcher.detector(dead)) as task:
        process.kill()
        await nothing_for(0.4, task)
        watcher.know(pause=None)
        assert (await within(1, task)).proven_dead


async def test_nobody_is_replaced_before_it_is_known_whether_that_is_paused(child: Child) -> None:
    process, identity = child
    watcher = Watcher(Outcome.UNANSWERED)
    watcher.know(listed=False)
    dead = holder(f"127.0.0.1:{free_ports(1)[0]}", process=identity)
    async with watching(watcher.detector(dead)) as task:
        process.kill()
        await nothing_for(0.4, task)
        assert watcher.asked == []
        watcher.know(listed=True)
        await within(1, task)


async def test_who_is_not_ready_leaves_a_dead_one_to_others_for_a_second(child: Child) -> None:
    process, identity = child
    watcher = Watcher(Outcome.ANSWERED)
    watcher.obstacles = ("mirror is not synced",)
    dead = holder(f"127.0.0.1:{free_ports(1)[0]}", process=identity)
    async with watching(watcher.detector(dead)) as task:
        process.kill()
        await nothing_for(0.7, task)
        assert (await within(2, task)).proven_dead


async def test_while_good_beats_come_nobody_is_asked() -> None:
    heart, watcher = Heart(), Watcher()
    async with (
        serving_beats(heart, every_s=BEAT_S) as (_, address),
        watching(watcher.detector(holder(address), CALM)) as task,
    ):
        await eventually(lambda: heart.sent > 20)
        await nothing_for(0, task)
    assert watcher.asked == []


async def test_a_port_that_is_gone_is_replaced_when_nobody_answers() -> None:
    heart, watcher = Heart(), Watcher(Outcome.UNANSWERED)
    async with (
        serving_beats(heart, every_s=BEAT_S) as (server, address),
        watching(watcher.detector(holder(address), CALM)) as task,
    ):
        await eventually(lambda: heart.sent > 5)
        await server.abort()
        gone_s = watcher.clock.boottime()
        order = await within(2, task)
    assert order.cause is Cause.UNREACHABLE
    assert order.answer_revision == 5
    assert watcher.asked == [EPOCH]
    assert watcher.clock.boottime() - 5 < order.since_s <= gone_s + 0.05


async def test_beats_of_another_term_do_not_count() -> None:
    heart, watcher = Heart(), Watcher()
    heart.epoch = EPOCH + 1
    async with (
        serving_beats(heart, every_s=BEAT_S) as (_, address),
        watching(watcher.detector(holder(address), CALM)) as task,
    ):
        assert (await within(3, task)).cause is Cause.SILENT


async def test_beats_that_say_they_are_unproven_suffice() -> None:
    heart, watcher = Heart(), Watcher()
    heart.unproven_s = 0.6
    async with (
        serving_beats(heart, every_s=BEAT_S) as (_, address),
        watching(watcher.detector(holder(address), CALM)) as task,
    ):
        assert (await within(3, task)).cause is Cause.UNPROVEN


async def test_void_is_asked_again_and_an_answer_ends_it_for_a_second() -> None:
    watcher = Watcher(Outcome.VOID, Outcome.VOID, Outcome.ANSWERED)
    silent = holder(f"127.0.0.1:{free_ports(1)[0]}")
    async with watching(watcher.detector(silent)) as task:
        await eventually(lambda: len(watcher.asked) == 3)
        await nothing_for(0.7, task)
        assert len(watcher.asked) == 3


async def test_who_recovers_during_its_challenge_is_not_replaced() -> None:
    """Unanswered, but its beats are back and good."""
    heart, watcher = Heart(), Watcher(Outcome.UNANSWERED)
    heart.unproven_s = 0.9
    async with serving_beats(heart, every_s=BEAT_S) as (_, address):
        detector = watcher.detector(holder(address), CALM)

        async def slowly(epoch: int) -> Reply:
            watcher.asked.append(epoch)
            heart.unproven_s = 0.0
            sent = heart.sent
            await eventually(lambda: heart.sent > sent + 3)
            return Reply(Outcome.UNANSWERED)

        watcher.ask = slowly  # type: ignore[method-assign]  # an active that recovers meanwhile
        async with watching(detector) as task:
            await eventually(lambda: len(watcher.asked) == 1)
            await nothing_for(0.3, task)
    assert watcher.asked == [EPOCH]


async def test_a_word_older_than_the_challenge_does_not_suffice() -> None:
    """Short stops in a row: what was said before them may be true no longer."""
    heart, watcher = Heart(), Watcher(Outcome.UNANSWERED)
    heart.unproven_s = 0.9
    said: list[int] = []
    watcher.asking = lambda: said.append(heart.sent)
    async with (
        serving_beats(heart, every_s=BEAT_S) as (_, address),
        watching(watcher.detector(holder(address), CALM)) as task,
    ):
        assert (await within(3, task)).cause is Cause.UNPROVEN
        assert heart.sent > said[0]


PAST = Takeover(1, 7, "h:7", 8, "h:8", Cause.SILENT, 0)


def paused(watcher: Watcher) -> None:
    watcher.know(pause=Pause("ann", 1))


def unready(watcher: Watcher) -> None:
    watcher.obstacles = ("mirror is not synced",)


def damped(watcher: Watcher) -> None:
    now_ms = watcher.clock.wall_ns() // 1_000_000
    watcher.know(history=(replace(PAST, at_ms=now_ms),))


def released(watcher: Watcher) -> None:
    watcher.obstacles = ()
    watcher.know(pause=None, history=())


@pytest.mark.parametrize("hold", [paused, unready, damped])
async def test_what_holds_a_challenge_back(hold: Callable[[Watcher], None]) -> None:
    watcher = Watcher()
    hold(watcher)
    silent = holder(f"127.0.0.1:{free_ports(1)[0]}")
    async with watching(watcher.detector(silent)) as task:
        await nothing_for(0.4, task)
        assert watcher.asked == []
        released(watcher)
        assert (await within(1, task)).cause is Cause.SILENT


@pytest.mark.parametrize("hold", [paused, unready, damped])
async def test_what_comes_up_during_a_challenge_holds_the_verdict_back(
    hold: Callable[[Watcher], None],
) -> None:
    watcher = Watcher()
    watcher.asking = lambda: hold(watcher)
    silent = holder(f"127.0.0.1:{free_ports(1)[0]}")
    async with watching(watcher.detector(silent)) as task:
        await eventually(lambda: watcher.asked == [EPOCH])
        await nothing_for(0.3, task)
        watcher.asking = lambda: None
        released(watcher)
        await within(1, task)


@pytest.mark.parametrize(
    "alone",
    [
        (SETTINGS, {"fenced": False}),
        (replace(SETTINGS, active_standby=False), {}),
    ],
    ids=["a Go coordinator", "no pair is wanted"],
)
async def test_who_is_never_suspected(alone: tuple[HaSettings, dict[str, Any]]) -> None:
    settings, more = alone
    watcher = Watcher()
    silent = holder(f"127.0.0.1:{free_ports(1)[0]}", **more)
    async with watching(watcher.detector(silent, settings)) as task:
        await nothing_for(0.4, task)
    assert watcher.asked == []
