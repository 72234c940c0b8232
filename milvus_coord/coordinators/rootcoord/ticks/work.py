"""Time ticks: tell each channel's readers up to where nothing will follow any more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from milvus_coord.allocator.sources import Timestamps
from milvus_coord.coordinators.rootcoord.metrics import RootCoordMetrics
from milvus_coord.coordinators.rootcoord.ticks.rules import NONE, TickBoard
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.model.errors import CoordError, NotServing
from milvus_coord.model.timestamps import Timestamp, physical_ms
from milvus_coord.mq.queue import Sender
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.overdue import Overdue
from milvus_coord.runtime.signal import Signal
from milvus_coord.runtime.taskgroup import TaskGroup
from milvus_coord.telemetry.log import log

PATIENCE_S: Final = 5.0


@dataclass(slots=True)
class _Round:
    """The ticks that go out together."""

    began_s: float
    open: int = 0


class Ticks:
    """The time ticks of one leadership.

    Each `interval_s` every channel in use is sent the largest tick that all sources and statements
    allow (`rules.TickBoard`), if it has grown. Channels do not wait for each other: one whose send
    hangs gets its next tick when that has ended.

    Args:
        encode: the payload of a tick.
        interval_s: `proxy.timeTickInterval`.
        patience_s: after how long a silent proxy, or a channel without ticks, is worth a line.
    """

    def __init__(
        self,
        *,
        queue: Sender,
        encode: Callable[[Timestamp], bytes],
        timestamps: Timestamps,
        serve: ServeLease,
        clock: Clock,
        interval_s: float,
        observer: RootCoordMetrics,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._queue, self._encode, self._timestamps = queue, encode, timestamps
        self._serve, self._clock, self._observer = serve, clock, observer
        self._interval_s = interval_s
        self._board = TickBoard()
        self._used: Counter[str] = Counter()
        self._sending: set[str] = set()
        self._produced: dict[str, Timestamp] = {}
        self._progress = Signal()
        self._finished = False
        self._proxies_late: Overdue[int] = Overdue(clock, patience_s)
        self._channels_late: Overdue[str] = Overdue(clock, patience_s)
        self._failures: dict[str, str] = {}

    @asynccontextmanager
    async def stamp(self, channels: Iterable[str]) -> AsyncIterator[Timestamp]:
        """A fresh timestamp; no tick at or above it goes to `channels` until the block ends.

        For statements whose messages carry the timestamp: leave the block when they are out. The
        channels are held back from before it is taken, so that no tick can overtake it. Raises
        CoordError when no timestamp is to be had.
        """
        held = self._board.hold(channels)
        try:
            ts = await self._timestamps.take(1)
            self._board.settle(held, ts)
            yield ts
        finally:
            self._board.release(held)

    async def reached(self, channel: str, ts: Timestamp) -> None:
        """Return when the queue has taken a tick of `ts` or more for `channel`, in this term.

        Waits for ever on a channel that is not in use.
        """
        while self.produced(channel) < ts:
            await self._progress.wait()

    def produced(self, channel: str) -> Timestamp:
        """The last tick of `channel` that the queue has taken in this term, 0 before the first."""
        return self._produced.get(channel, NONE)

    def use(self, channels: Iterable[str]) -> None:
        """One more user (a collection) for each of these physical channels."""
        for channel, users in Counter(channels).items():
            self._used[channel] += users
            self._channels_late.expect(channel)

    def release(self, channels: Iterable[str]) -> None:
        """One user less; a channel without any gets no more ticks."""
        for channel in channels:
            self._used[channel] -= 1
            if self._used[channel] <= 0:
                del self._used[channel]
                self._failures.pop(channel, None)
                self._channels_late.forget(channel)
                self._observer.unused(channel)

    @property
    def used(self) -> Collection[str]:
        """The channels in use."""
        return self._used.keys()

    def proxies_changed(self, proxies: Collection[int]) -> None:
        """These proxies have a session now; called with all of them, each time that changes."""
        gone, joined = set(self._board.proxies) - set(proxies), set(proxies)
        self._board.proxies_changed(proxies)
        for proxy in joined:
            self._proxies_late.expect(proxy)
        for proxy in gone:
            if (silent_s := self._proxies_late.forget(proxy)) is not None:
                log.info(
                    "the silent proxy has gone, time ticks go on without it",
                    proxy=proxy,
                    silent_s=round(silent_s, 1),
                )

    def report(
        self, source: int, channels: Sequence[str], timestamps: Sequence[int], default: int
    ) -> None:
        """Take what proxy `source` promises. Raises Refused, in the words of Go 2.2.16.

        One that comes late, after a newer one of the same proxy, is ignored.
        """
        if not self._board.report(source, channels, timestamps, default):
            return
        if (silent_s := self._proxies_late.seen(source)) is not None:
            log.info("proxy reports its time ticks", proxy=source, silent_s=round(silent_s, 1))

    async def run(self) -> None:
        """Promise and send, round after round, until cancelled."""
        async with TaskGroup() as sends:

            async def turn() -> None:
                if self._finished:
                    return
                began_s = self._clock.boottime()
                await self._promise()
                self._look_for_silence()
                self._send_due(sends, began_s)

            ticks = Loop("rootcoord.ticks", self._interval_s, turn, fixed_rate=True)
            await ticks.run(self._clock)

    async def finish(self) -> None:
        """Send no more ticks; returns when those that are on their way have ended."""
        self._finished = True
        while self._sending:
            await self._progress.wait()

    async def _promise(self) -> None:
        """Without a timestamp our last promise stands, and the late channels say why."""
        try:
            self._board.promise(await self._timestamps.take(1))
        except CoordError as error:
            log.debug("no timestamp for the time ticks", error=str(error))

    def _send_due(self, sends: asyncio.TaskGroup, began_s: float) -> None:
        if not self._serve.holds or self._finished:
            return
        round_ = _Round(began_s)
        payloads: dict[Timestamp, bytes] = {}
        for channel in self._used:
            if channel in self._sending or (tick := self._board.due(channel)) is None:
                continue
            if tick not in payloads:
                payloads[tick] = self._encode(tick)
            self._board.offer(channel, tick)
            self._sending.add(channel)
            round_.open += 1
            sends.create_task(
                self._send(channel, tick, payloads[tick], round_), name=f"rootcoord.tick {channel}"
            )

    async def _send(self, channel: str, tick: Timestamp, payload: bytes, round_: _Round) -> None:
        try:
            self._serve.require()
            self._observer.sent(channel, self._clock.wall_ns() // 1_000_000 - physical_ms(tick))
            await self._queue.send(channel, payload)
        except NotServing:
            pass  # the lease itself says so
        except CoordError as error:
            self._failures[channel] = str(error)
        else:
            self._taken(channel, tick)
        finally:
            self._sending.discard(channel)
            self._progress.notify()
            round_.open -= 1
            if not round_.open:
                self._observer.round_done((self._clock.boottime() - round_.began_s) * 1000)

    def _taken(self, channel: str, tick: Timestamp) -> None:
        self._produced[channel] = tick
        self._failures.pop(channel, None)
        if channel not in self._used:
            return
        if (late_s := self._channels_late.seen(channel)) is not None:
            log.info("channel gets time ticks again", channel=channel, after_s=round(late_s, 1))

    def _look_for_silence(self) -> None:
        for proxy, silent_s in self._proxies_late.newly_overdue():
            log.warn(
                "proxy does not report, all time ticks stand still until it does or is gone",
                proxy=proxy,
                silent_s=round(silent_s, 1),
            )
        if self._proxies_late.any_overdue or not self._serve.holds:
            self._channels_late.restart()
        for channel, late_s in self._channels_late.newly_overdue():
            reason = self._why_late(channel)
            log.warn(
                "channel gets no time ticks", channel=channel, for_s=round(late_s, 1), reason=reason
            )

    def _why_late(self, channel: str) -> str:
        if channel in self._sending:
            return "the queue has not taken the last one yet"
        return self._failures.get(channel) or self._board.why(channel)
