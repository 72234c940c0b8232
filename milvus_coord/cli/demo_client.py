"""The client of the demo: asks a pair of rootcoords for one timestamp after another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from milvus_coord.clients.demo_rootcoord import DemoRootCoord
from milvus_coord.clients.errors import CallError
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.signal import Signal

EVERY_MS: Final = 5

_TIMEOUT_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Takeover:
    """Another instance began to answer: `gap_s` lies between its first and the former's last."""

    address: str
    gap_s: float


class TimestampClient:
    """Asks the one that answered last, the other one after each failure.

    Attributes:
        count: timestamps received.
        flaws: one sentence for each timestamp that was not above the one before.
        takeovers: in their order; the first answer of all is none.
    """

    def __init__(self, addresses: Sequence[str], clock: Clock) -> None:
        self._addresses, self._clock = tuple(addresses), clock
        self.count = 0
        self.flaws: list[str] = []
        self.takeovers: list[Takeover] = []
        self._changed = Signal()
        self._highest = 0
        self._answered: tuple[str, float] | None = None

    async def run(self) -> None:
        """Ask until cancelled, and after a failure the other one."""
        rootcoords = [DemoRootCoord(address, timeout_s=_TIMEOUT_S) for address in self._addresses]
        asked = itertools.cycle(rootcoords)
        rootcoord = next(asked)

        async def ask() -> None:
            nonlocal rootcoord
            try:
                timestamp = await rootcoord.alloc_timestamp()
            except CallError:
                rootcoord = next(asked)
            else:
                self._note(rootcoord.address, timestamp)

        try:
            await Loop("demo.client", EVERY_MS / 1000, ask).run(self._clock)
        finally:
            for rootcoord in rootcoords:
                rootcoord.close()

    async def receives(self, count: int) -> None:
        """Wait for `count` more timestamps."""
        goal = self.count + count
        while self.count < goal:
            await self._changed.wait()

    async def sees_takeover(self, after: int) -> Takeover:
        """The takeover that follows the first `after` ones."""
        while len(self.takeovers) <= after:
            await self._changed.wait()
        return self.takeovers[after]

    def _note(self, address: str, timestamp: int) -> None:
        now_s = self._clock.boottime()
        if timestamp <= self._highest:
            self.flaws.append(f"{address} gave {timestamp} after {self._highest}")
        self._highest = max(self._highest, timestamp)
        if self._answered is not None and self._answered[0] != address:
            self.takeovers.append(Takeover(address, now_s - self._answered[1]))
        self._answered = (address, now_s)
        self.count += 1
        self._changed.notify()
