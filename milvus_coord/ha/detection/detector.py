"""Watch one active closely: say when it may be replaced, and why, before its lease ends."""

from __future__ import annotations

import asyncio
from typing import Final, Never, Protocol

from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.challenge import Challenger, Outcome, Reply
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
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.signal import Signal
from milvus_coord.telemetry.log import log

_GO_PROGRAM: Final = "milvus"
_CONNECT_S: Final = 0.5
_RECONNECT_S: Final = 0.05
_HELD_BACK_S: Final = 0.1
_READY_WITHIN_S: Final = 1.0


class Obstacles(Protocol):
    """Why we could not take over now; empty when we could."""

    def __call__(self) -> tuple[str, ...]: ...


class Detector:
    """Watches the holder of the active key as it was at one revision.

    Of a Go coordinator it sees the end of the process alone: its writes are unguarded, so while
    it may live it is left alone. So is one of ours where no pair is wanted.
    """

    def __init__(
        self,
        clock: Clock,
        settings: HaSettings,
        pair: PairState,
        challenger: Challenger,
        metrics: HaMetrics,
        obstacles: Obstacles,
        active: KeyValue,
        holder: SessionRecord,
    ) -> None:
        self._clock, self._settings, self._pair = clock, settings, pair
        self._challenger, self._metrics, self._obstacles = challenger, metrics, obstacles
        self._active, self._holder = active, holder
        self._damping = ReplacementLimits(settings.early_per_minute, settings.early_per_ten_minutes)
        self._changed = Signal()
        self._held_back = ""
        self._suspicion = Suspicion(
            beat_s=settings.beat_s,
            serve_lease_s=settings.serve_lease_s,
            now_s=clock.boottime(),
        )

    async def wait_for_failure(self) -> ReplacementOrder:
        """Return when the active may be replaced; for as long as it does well, never."""
        watching: list[asyncio.Task[ReplacementOrder | None]]
        watching = [asyncio.create_task(self._death(), name="ha.detect.death")]
        if self._holder.fenced and self._settings.active_standby:
            watching.append(asyncio.create_task(self._judge(), name="ha.detect.judge"))
            watching.append(asyncio.create_task(self._listen(), name="ha.detect.beats"))
        try:
            while True:
                done, _ = await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    order = task.result()
                    if order is not None:
                        return order
                    watching.remove(task)
                if not watching:
                    await asyncio.Event().wait()
        finally:
            await cancel_and_wait(*watching)

    async def _death(self) -> ReplacementOrder | None:
        """The process has ended; None when it cannot be watched from here."""
        try:
            if self._holder.process is not None:
                await outlive(self._holder.process)
            elif (pid := await self._go_process()) is not None:
                address = self._holder.address
                await outlive_pid(pid, lambda: listens(pid, address))
            else:
                return None
        except CannotWatch as error:
            log.debug("the active's process cannot be watched", error=str(error))
            return None
        died_s = self._clock.boottime()
        log.warn("the active's process has ended", holder=self._holder.address)
        self._metrics.suspected(Cause.PROCESS_DIED)
        await self._until_ready(died_s + _READY_WITHIN_S)
        while why := self._not_allowed():
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
        suspicion = self._suspicion
        while True:
            try:
                async with self._beats() as beats:
                    while True:
                        beat = await beats.next()
                        if beat.epoch != self._active.mod_revision:
                            break  # another term than the one we watch
                        suspicion.beat(
                            self._clock.boottime(),
                            lag_s=beat.worst_lag_s,
                            unproven_s=beat.unproven_s,
                        )
                        self._changed.notify()
            except BeatsRefused:
                suspicion.refused()
                self._changed.notify()
            except BeatsEnded:
                suspicion.ended()
                continue  # at once: is anybody still listening?
            except BeatsUnreachable as error:
                suspicion.ended()
                log.debug("no beats from the active", error=str(error))
            await self._clock.sleep(_RECONNECT_S)

    def _beats(self) -> BeatStream:
        wanted = self._settings
        return BeatStream(self._holder.address, wanted.tls, _CONNECT_S, every_s=wanted.beat_s)

    async def _judge(self) -> ReplacementOrder:
        """Challenge the active while a sign lasts; return when it did not answer."""
        while True:
            seen = self._changed.version()
            sign = self._suspicion.sign(self._clock.boottime())
            if sign is None:
                self._held_back = ""
                await self._next_look(seen)
                continue
            if self._is_held_back():
                await self._clock.sleep(_HELD_BACK_S)
                continue
            asked_s = self._clock.boottime()
            reply = await self._challenge(sign)
            if reply.outcome is Outcome.ANSWERED:
                self._suspicion.answered(self._clock.boottime())
            elif reply.outcome is Outcome.VOID:
                await self._clock.sleep(_HELD_BACK_S)
            elif self._still_suspected(asked_s) and not self._is_held_back():
                return ReplacementOrder(
                    self._active, sign.cause, sign.since_s, reply.answer_revision
                )

    def _still_suspected(self, asked_s: float) -> bool:
        """Whether there is a sign that is no older than the challenge.

        A row of short stops can hide a challenge whole, and what was said before it.
        """
        sign = self._suspicion.sign(self._clock.boottime())
        if sign is None:
            return False
        return sign.cause is not Cause.UNPROVEN or self._suspicion.heard_s >= asked_s

    async def _challenge(self, sign: Sign) -> Reply:
        log.warn("the active is suspected, asking it through etcd", sign=str(sign))
        self._metrics.suspected(sign.cause)
        reply = await self._challenger.ask(self._active.mod_revision)
        self._metrics.challenged(reply.outcome.value)
        log.info("the challenge ended", sign=str(sign), outcome=reply.outcome.value)
        return reply

    async def _next_look(self, seen: int) -> None:
        """Until something is heard, or has not been heard for too long."""
        ringing = asyncio.create_task(self._changed.wait(since=seen), name="ha.detect.heard")
        wait_s = self._suspicion.next_look_s(self._clock.boottime())
        sleeping = asyncio.create_task(self._clock.sleep(wait_s), name="ha.detect.silence")
        try:
            await asyncio.wait((ringing, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(ringing, sleeping)

    def _is_held_back(self) -> bool:
        """Whether we must leave even an active that cannot work to the backstop."""
        if why := self._not_allowed():
            return self._hold_back(why)
        if obstacles := self._obstacles():
            return self._hold_back("not ready: " + "; ".join(obstacles))
        now_ms = self._clock.wall_ns() // 1_000_000
        wait_ms = self._damping.wait_ms(self._pair.snapshot.history, now_ms)
        if wait_ms:
            return self._hold_back("damped: replaced early too often of late")
        self._held_back = ""
        return False

    def _not_allowed(self) -> str:
        if not self._pair.snapshot.listed:
            return "etcd has not said whether we may"
        return "paused" if self._pair.snapshot.pause is not None else ""

    def _hold_back(self, why: str) -> bool:
        if why != self._held_back:
            log.warn("the active is suspected, but it is left to its lease", why=why)
            self._held_back = why
        return True
