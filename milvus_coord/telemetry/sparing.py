"""Something costly that many ask for: done once for all who wait, and not again too soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

REST: Final = 100.0
"""So many times as long as it took nothing is done again.

That is 1 % of one processor for each page; the management port has two.
"""


class Sparing:
    """Makes bytes in a thread; answers from those made last while they are fresh enough.

    A failure is kept as long, since it has cost as much.

    Args:
        make: called in a thread.
        now_s: a clock that never goes back, in seconds.
        cost_s: the processor time of the calling thread, in seconds.
    """

    def __init__(
        self,
        make: Callable[[], bytes],
        now_s: Callable[[], float] = time.monotonic,
        cost_s: Callable[[], float] = time.thread_time,
    ) -> None:
        self._make, self._now_s, self._cost_s = make, now_s, cost_s
        self._made: bytes | Exception = b""
        self._fresh_until_s = 0.0
        self._making: asyncio.Task[None] | None = None

    async def get(self) -> bytes:
        """The bytes. Raises what `make` raised."""
        if self._now_s() >= self._fresh_until_s:
            if self._making is None:
                self._making = asyncio.create_task(self._refresh(), name="telemetry.render")
                self._making.add_done_callback(self._forget)
            await asyncio.shield(self._making)
        if isinstance(self._made, Exception):
            raise self._made.with_traceback(None)
        return self._made

    def _forget(self, _: asyncio.Task[None]) -> None:
        self._making = None

    async def _refresh(self) -> None:
        def make() -> tuple[bytes | Exception, float]:
            began_s = self._cost_s()
            made: bytes | Exception
            try:
                made = self._make()
            except Exception as error:
                made = error
            return made, self._cost_s() - began_s

        self._made, took_s = await asyncio.to_thread(make)
        self._fresh_until_s = self._now_s() + REST * took_s
