"""sd_notify and the watchdog against a real datagram socket in systemd's place."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from loguru import logger

from milvus_coord.runtime.clock import ManualClock, SystemClock
from milvus_coord.runtime.notify import Notifier
from milvus_coord.runtime.watchdog import Pulse, run_pulse, watch_progress
from testing.role_world import turns


class Manager:
    """The receiving end, as systemd has it; `name` is what NOTIFY_SOCKET would hold."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)

    def take(self) -> list[str]:
        """The datagrams that lie ready: a unix datagram is there when sendto has returned."""
        taken = []
        while True:
            try:
                taken.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return taken


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    place = str(tmp_path / "notify") if request.param == "path" else f"@{uuid.uuid4()}"
    manager = Manager(place)
    yield manager
    manager.socket.close()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Messages and fields logged while the test runs."""
    seen: list[str] = []
    sink = logger.add(lambda m: seen.append(f"{m.record['message']} {m.record['extra']}"))
    yield seen
    logger.remove(sink)


@asynccontextmanager
async def running(notifier: Notifier, pulse: Pulse) -> AsyncIterator[None]:
    """`watch_progress` in the background; its first look at the pulse is over."""
    async with asyncio.TaskGroup() as tasks:
        feeder = tasks.create_task(watch_progress(notifier, pulse), name="watchdog")
        await turns()
        yield
        feeder.cancel()


def notifier_of(manager: Manager, **environ: str) -> Notifier:
    return Notifier.from_environ({"NOTIFY_SOCKET": manager.name, **environ})


def test_says_what_sd_notify_says(manager: Manager) -> None:
    notifier = notifier_of(manager)
    notifier.ready("rootcoord is in STANDBY")
    notifier.status("two\nREADY=0\r\nlines")
    notifier.stopping()
    notifier.watchdog()
    assert manager.take() == [
        f"READY=1\nMAINPID={os.getpid()}\nSTATUS=rootcoord is in STANDBY",
        "STATUS=two READY=0 lines",
        "STOPPING=1",
        "WATCHDOG=1",
    ]


def test_reload_carries_the_monotonic_time(manager: Manager) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier_of(manager).reloading()
    after_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    (text,) = manager.take()
    sent = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", text)
    assert sent
    assert before_us <= int(sent[1]) <= after_us


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path"])
def test_silent_without_a_usable_address(address: str) -> None:
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": address})
    assert not notifier.enabled
    notifier.ready()


def test_silent_without_the_variable() -> None:
    notifier = Notifier.from_environ({})
    assert (notifier.enabled, notifier.watchdog_s) == (False, None)
    notifier.stopping()


@pytest.mark.parametrize("address", ["/gone", "/" + "x" * 200, "/nul\0byte"])
def test_a_lost_manager_is_logged_once(address: str, lines: list[str]) -> None:
    notifier = Notifier(address)
    notifier.ready()
    notifier.watchdog()
    assert len(lines) == 1
    assert "service manager not reached" in lines[0]


def test_a_lost_manager_is_logged_again_after_it_came_back(
    tmp_path: Path, lines: list[str]
) -> None:
    place = tmp_path / "notify"
    notifier = Notifier(str(place))
    notifier.watchdog()
    manager = Manager(str(place))
    notifier.watchdog()
    assert manager.take() == ["WATCHDOG=1"]
    manager.socket.close()
    notifier.watchdog()
    assert len(lines) == 2


def test_a_full_queue_does_not_block(manager: Manager, lines: list[str]) -> None:
    notifier = notifier_of(manager)
    for _ in range(10_000):
        notifier.watchdog()
    assert len(lines) == 1, "the queue was never full"
    assert set(manager.take()) == {"WATCHDOG=1"}


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_period(environ: dict[str, str], watchdog_s: float | None) -> None:
    assert Notifier.from_environ(environ).watchdog_s == watchdog_s


def test_pulse_ages_and_beats() -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    clock.advance(3)
    assert pulse.age_s() == 3
    pulse.beat()
    assert pulse.age_s() == 0


def test_worst_lag_is_the_worst_of_late() -> None:
    clock = ManualClock()
    pulse = Pulse(clock, remember_s=10)
    worst = []
    for lag_s in (0.1, 0.7, 0.3, 0.2):
        pulse.beat(lag_s)
        worst.append(pulse.worst_lag_s)
        clock.advance(4)
    assert worst == [0.1, 0.7, 0.7, 0.7]
    pulse.beat(0.0)  # 12 s after the 0.7, 8 s after the 0.3
    assert pulse.worst_lag_s == 0.3
    clock.advance(11)
    pulse.beat(0.0)
    assert pulse.worst_lag_s == 0.0


async def test_run_pulse_measures_the_lateness_of_each_turn() -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(run_pulse(pulse, 0.5), name="pulse")
        await turns()
        for advance_s, lag_s in ((0.5, 0.0), (2.0, 1.5), (0.5, 1.5)):
            clock.advance(advance_s)
            await turns()
            assert (pulse.age_s(), pulse.worst_lag_s) == (0.0, lag_s)
        beating.cancel()


async def test_a_blocked_loop_shows_as_lag() -> None:
    pulse = Pulse(SystemClock())
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(run_pulse(pulse, 0.01), name="pulse")
        await turns()
        time.sleep(0.2)  # noqa: ASYNC251 - the fault: the loop is held
        stuck_s = pulse.age_s()
        await turns()
        assert stuck_s > 0.15
        assert pulse.worst_lag_s > 0.15
        assert pulse.age_s() < stuck_s
        beating.cancel()


async def test_feeds_at_half_the_period(manager: Manager) -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    async with running(notifier_of(manager, WATCHDOG_USEC="10000000"), pulse):
        fed = [len(manager.take())]
        for _ in range(3):
            clock.advance(4.9)
            pulse.beat()
            await turns()
            fed.append(len(manager.take()))
            clock.advance(0.1)
            await turns()
            fed.append(len(manager.take()))
    assert fed == [1, 0, 1, 0, 1, 0, 1]


async def test_starves_the_watchdog_while_the_pulse_stands_still(
    manager: Manager, lines: list[str]
) -> None:
    clock = ManualClock()
    pulse = Pulse(clock)
    async with running(notifier_of(manager, WATCHDOG_USEC="10000000"), pulse):
        assert manager.take() == ["WATCHDOG=1"]
        for _ in range(20):
            clock.advance(5)
            await turns()
        assert manager.take() == []
        pulse.beat()
        clock.advance(0.5)
        await turns()
        assert manager.take() == ["WATCHDOG=1"]
    assert [line.split(",")[0] for line in lines] == [
        "main loop stands still",
        "main loop turns again",
    ]


async def test_no_watchdog_no_feeder(manager: Manager) -> None:
    async with asyncio.timeout(1):
        await watch_progress(notifier_of(manager), Pulse(SystemClock()))
    assert manager.take() == []
