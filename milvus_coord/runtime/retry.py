"""Try again with a growing pause, and say so once a minute at most."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from milvus_coord.model.errors import CoordError, FencedOff
from milvus_coord.runtime.backoff import Backoff
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.troubles import LASTING_S, Troubles
from milvus_coord.telemetry.log import log

T = TypeVar("T")

SAY_EVERY_S: Final = 60.0


class GaveUp(Exception):
    """The time that the caller allowed is over; the cause is the last trouble."""


class Retry:
    """Retries what raises one of `on`, for ever unless told otherwise; FencedOff is always raised.

    What raises one of `but`, which a person must mend, is not repeated either.
    `purpose` is what could not be done, for the log line: "register in etcd". Trouble that lasts is
    noted in `troubles`, and said as an error once.
    """

    def __init__(
        self,
        clock: Clock,
        purpose: str,
        *,
        on: tuple[type[CoordError], ...],
        but: tuple[type[CoordError], ...] = (),
        first_s: float = 0.1,
        cap_s: float = 5.0,
        troubles: Troubles | None = None,
    ) -> None:
        self._clock, self._purpose, self._on = clock, purpose, on
        self._raised: tuple[type[CoordError], ...] = (FencedOff, *but)
        self._backoff = Backoff(first_s, cap_s)
        self._troubles = troubles
        self._said: tuple[str, float] | None = None
        self._since_s: float | None = None

    async def run(
        self, attempt: Callable[[], Awaitable[T]], *, give_up_after_s: float | None = None
    ) -> T:
        """Return what `attempt` returns at last. Raises GaveUp after `give_up_after_s` seconds."""
        while True:
            try:
                result = await attempt()
            except self._raised:
                raise
            except self._on as trouble:
                await self.wait(trouble, give_up_after_s=give_up_after_s)
            else:
                self.succeeded()
                return result

    async def wait(self, trouble: CoordError, *, give_up_after_s: float | None = None) -> None:
        """Say what is wrong and wait before the next try."""
        now = self._clock.boottime()
        if self._since_s is None:
            self._since_s = now
        lasted_s = now - self._since_s
        if give_up_after_s is not None and lasted_s >= give_up_after_s:
            raise GaveUp(f"could not {self._purpose} for {lasted_s:.0f} s") from trouble
        self._say(type(trouble).__name__, trouble, now, lasted_s)
        self._note(trouble, lasted_s)
        pause_s = self._backoff.next()
        if give_up_after_s is not None:
            pause_s = min(pause_s, give_up_after_s - lasted_s)
        await self._clock.sleep(pause_s)

    def succeeded(self) -> None:
        """The trouble is over; say so if it had been said to exist."""
        if self._said is not None and self._since_s is not None:
            lasted_s = self._clock.boottime() - self._since_s
            log.info(f"could {self._purpose} at last", after_s=round(lasted_s, 3))
        self._said = self._since_s = None
        self._backoff.reset()
        if self._troubles is not None:
            self._troubles.over(self._purpose)

    def _note(self, trouble: CoordError, lasted_s: float) -> None:
        if self._troubles is None or lasted_s < LASTING_S:
            return
        if self._troubles.lasts(self._purpose, str(trouble)):
            log.error(f"cannot {self._purpose} for long", error=str(trouble))

    def _say(self, kind: str, trouble: CoordError, now: float, lasted_s: float) -> None:
        if self._said is not None:
            said_kind, said_at = self._said
            if said_kind == kind and now - said_at < SAY_EVERY_S:
                return
        self._said = (kind, now)
        log.warn(f"cannot {self._purpose}, trying on", error=str(trouble), for_s=round(lasted_s, 1))
