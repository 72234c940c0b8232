"""Progress of the main loop: measured by a pulse, passed on to systemd's watchdog."""

from __future__ import annotations

from collections import deque

from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.notify import Notifier
from milvus_coord.runtime.say_once import SayOnce
from milvus_coord.telemetry.log import log


class Pulse:
    """When the main loop last turned, and how late its turns have been of late.

    Beaten by the main loop alone (see `run_pulse`); may be read from any thread. Lags are forgotten
    after `remember_s`.
    """

    def __init__(self, clock: Clock, *, remember_s: float = 10.0) -> None:
        self.clock = clock
        self._remember_s = remember_s
        self._beat_at_s = clock.boottime()
        self._worst_lag_s = 0.0
        # Falling lags with their times: the first is the worst, and each later one takes over
        # when those before it are forgotten.
        self._lags: deque[tuple[float, float]] = deque()

    def beat(self, lag_s: float = 0.0) -> None:
        """The main loop turned now, `lag_s` later than it should have."""
        now_s = self.clock.boottime()
        self._beat_at_s = now_s
        while self._lags and self._lags[0][0] < now_s - self._remember_s:
            self._lags.popleft()
        while self._lags and self._lags[-1][1] <= lag_s:
            self._lags.pop()
        self._lags.append((now_s, lag_s))
        self._worst_lag_s = self._lags[0][1]

    def age_s(self) -> float:
        """Seconds since the last beat, time spent suspended included."""
        return self.clock.boottime() - self._beat_at_s

    @property
    def worst_lag_s(self) -> float:
        """The longest lag among the beats of the last `remember_s`, as of the last beat."""
        return self._worst_lag_s

    def worst_lag_since_s(self, since_s: float) -> float:
        """The longest lag among the remembered beats after `since_s`; for the main loop alone."""
        return next((lag_s for at_s, lag_s in self._lags if at_s >= since_s), 0.0)

    def __repr__(self) -> str:
        return f"<Pulse age={self.age_s():.3f}s worst_lag={self._worst_lag_s:.3f}s>"


async def run_pulse(pulse: Pulse, every_s: float = 0.05) -> None:
    """Beat until cancelled; a turn that comes late by x s is a lag of x s."""
    while True:
        asleep_at_s = pulse.clock.boottime()
        await pulse.clock.sleep(every_s)
        pulse.beat(max(0.0, pulse.clock.boottime() - asleep_at_s - every_s))


async def watch_progress(notifier: Notifier, pulse: Pulse) -> None:
    """Feed systemd's watchdog at half its period, but only while the pulse is younger than that.

    Runs until cancelled; returns at once when systemd asked for no watchdog.
    """
    if notifier.watchdog_s is None:
        return
    every_s = notifier.watchdog_s / 2
    fed = SayOnce(True)
    while True:
        age_s = pulse.age_s()
        progress = age_s < every_s
        if progress:
            notifier.watchdog()
        if fed.is_news(progress):
            _tell(progress, age_s)
        # A late recovery must still be told before the whole period is over.
        await pulse.clock.sleep(every_s if progress else every_s / 10)


def _tell(progress: bool, age_s: float) -> None:
    if progress:
        log.info("main loop turns again, watchdog is fed")
    else:
        log.warn("main loop stands still, watchdog is not fed", age=f"{age_s:.3f}s")
