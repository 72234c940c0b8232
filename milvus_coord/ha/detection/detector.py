"""Watch one active closely: say when it may be replaced, and why, before its lease ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Never

from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.challenge import Challenger
from milvus_coord.ha.detection.decisions import (
    Next,
    Reply,
    after_challenge,
    may_suspect,
    why_held_back,
    why_not_allowed,
)
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.detection.replacement_limits import ReplacementLimits
from milvus_coord.ha.detection.suspicion import Sign, Suspicion
from milvus_coord.ha.metrics import HaMetrics
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.ha.settings import HaSettings
from milvus_coord.rpc.heartbeat.message import BeatsEnded, BeatsRefused, BeatsUnreachable
from milvus_coord.rpc.heartbeat.subscription import BeatStream
from milvus_coord.rpc.port_holder import listener_of, listens
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.processes import CannotWatch, outlive, outlive_pid
from milvus_coord.runtime.race import first_of
from milvus_coord.runtime.say_once import SayOnce
from milvus_coord.runtime.say_seldom import SaySeldom
from milvus_coord.runtime.signal import Signal
from milvus_coord.telemetry.log import log

_GO_PROGRAM: Final = "milvus"
_CONNECT_S: Final = 0.5
_RECONNECT_S: Final = 0.05
_HELD_BACK_S: Final = 0.1
_READY_WITHIN_S: Final = 1.0


class Detector:
    """Watches the holder of the active key as it was at one revision.

    Of a Go coordinator it sees the end of the process alone: its writes are unguarded, so while
    it may live it is left alone. So is one of ours where no pair is wanted. `obstacles` says why
    we could not take over now. `beat_s` is when the last beat came (boot time, s), None before.
    """

    def __init__(
        self,
        clock: Clock,
        settings: HaSettings,
        pair: PairState,
        challenger: Challenger,
        metrics: HaMetrics,
        obstacles: Callable[[], tuple[str, ...]],
        active: KeyValue,
        holder: SessionRecord,
    ) -> None:
        self._clock, self._settings, self._pair = clock, settings, pair
        self._challenger, self._metrics, self._obstacles = challenger, metrics, obstacles
        self._active, self._holder = active, holder
        self.beat_s: float | None = None
        self._limits = ReplacementLimits(settings.early_per_minute, settings.early_per_ten_minutes)
        self._changed = Signal()
        self._held_back = SayOnce("")
        self._asking, self._ended = SaySeldom(clock), SaySeldom(clock)
        self._suspicion = Suspicion(
            beat_s=settings.beat_s,
            serve_lease_s=settings.serve_lease_s,
            now_s=clock.boottime(),
        )

    async def wait_for_failure(self) -> ReplacementOrder:
        """Return when the active may be replaced; for as long as it does well, never."""
        if not may_suspect(self._holder, paired=self._settings.active_standby):
            return await self._death()
        return await first_of(self._death(), self._suspect(), self._listen(), name="ha.detect")

    async def _death(self) -> ReplacementOrder:
        """The process has ended; where it cannot be watched from here this never returns."""
        try:
            if self._holder.process is not None:
                await outlive(self._holder.process)
            elif (pid := await self._go_process()) is not None:
                address = self._holder.address
                await outlive_pid(pid, lambda: listens(pid, address))
            else:
                await asyncio.Event().wait()
        except CannotWatch as error:
            log.debug("the active's process cannot be watched", error=str(error))
            await asyncio.Event().wait()
        died_s = self._clock.boottime()
        log.warn("the active's process has ended", holder=self._holder.address)
        self._metrics.suspected(Cause.PROCESS_DIED)
        await self._until_ready(died_s + _READY_WITHIN_S)
        while why := why_not_allowed(self._pair.snapshot):
            self._hold_back(why)
            await self._clock.sleep(_HELD_BACK_S)
        return ReplacementOrder(self._active, Cause.PROCESS_DIED, died_s)

    async def _go_process(self) -> int | None:
        """The process behind a Go coordinator's address; a look that takes some milliseconds."""
        return await asyncio.to_thread(listener_of, self._holder.address, program=_GO_PROGRAM)

    async def _until_ready(self, limit_s: float) -> None:
        """Leave the dead one's place to a standby that is ready, for a while, when we are not."""
        if obstacles := self._obstacles():
            log.warn("not ready, another one is to go first", why="; ".join(obstacles))
        while self._obstacles() and self._clock.boottime() < limit_s:
            await self._clock.sleep(_RECONNECT_S)

    async def _listen(self) -> Never:
        """Follow the beats for ever, and connect again whenever they end."""
        while True:
            try:
                async with self._beats() as beats:
                    await self._hear(beats)
            except BeatsRefused:
                self._suspicion.refused()
                self._changed.notify()
            except BeatsEnded:
                self._suspicion.ended()
                continue  # at once: is anybody still listening?
            except BeatsUnreachable as error:
                self._suspicion.ended()
                log.debug("no beats from the active", error=str(error))
            await self._clock.sleep(_RECONNECT_S)

    async def _hear(self, beats: BeatStream) -> None:
        """Return when a beat is of another term than the one we watch."""
        while (beat := await beats.next()).epoch == self._active.mod_revision:
            now_s = self.beat_s = self._clock.boottime()
            self._suspicion.beat(now_s, lag_s=beat.worst_lag_s, unproven_s=beat.unproven_s)
            self._changed.notify()

    def _beats(self) -> BeatStream:
        wanted = self._settings
        return BeatStream(self._holder.address, wanted.tls, _CONNECT_S, every_s=wanted.beat_s)

    async def _suspect(self) -> ReplacementOrder:
        """Challenge the active while a sign lasts; return when it did not answer."""
        while True:
            version = self._changed.version()
            sign = self._suspicion.sign(self._clock.boottime())
            if sign is None:
                self._held_back.is_news("")
                await self._next_look(version)
                continue
            if self._is_held_back():
                await self._clock.sleep(_HELD_BACK_S)
                continue
            asked_s = self._clock.boottime()
            reply = await self._challenge(sign)
            step = after_challenge(
                reply,
                self._suspicion.sign(self._clock.boottime()),
                asked_s=asked_s,
                heard_s=self._suspicion.heard_s,
            )
            if step is Next.LEAVE_ALONE:
                self._suspicion.answered(self._clock.boottime())
            elif step is Next.ASK_LATER:
                await self._clock.sleep(_HELD_BACK_S)
            elif step is Next.REPLACE and not self._is_held_back():
                return ReplacementOrder(
                    self._active, sign.cause, sign.since_s, reply.answer_revision
                )

    async def _challenge(self, sign: Sign) -> Reply:
        if (unsaid := self._asking.due(sign.cause)) is not None:
            log.warn(
                "the active is suspected, asking it through etcd", sign=str(sign), unsaid=unsaid
            )
        self._metrics.suspected(sign.cause)
        reply = await self._challenger.ask(self._active.mod_revision)
        self._metrics.challenged(reply.outcome.value)
        if (unsaid := self._ended.due(reply.outcome)) is not None:
            log.info(
                "the challenge ended", sign=str(sign), outcome=reply.outcome.value, unsaid=unsaid
            )
        return reply

    async def _next_look(self, version: int) -> None:
        """Until something is heard, or has not been heard for too long."""
        wait_s = self._suspicion.next_look_s(self._clock.boottime())
        heard = self._changed.wait(since=version)
        await first_of(heard, self._clock.sleep(wait_s), name="ha.detect.next_look")

    def _is_held_back(self) -> bool:
        now_ms = self._clock.wall_ns() // 1_000_000
        return self._hold_back(
            why_held_back(self._pair.snapshot, self._obstacles(), self._limits, now_ms)
        )

    def _hold_back(self, why: str) -> bool:
        """Whether there is a reason to leave the active to its lease; it is logged once."""
        if self._held_back.is_news(why) and why:
            log.warn("the active is suspected, but it is left to its lease", why=why)
        return bool(why)
