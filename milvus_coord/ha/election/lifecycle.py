"""Where the process stands: its phase, and the epoch it leads in."""

from __future__ import annotations

from collections.abc import Callable

from milvus_coord.model.states import Phase, move
from milvus_coord.runtime.clock import Clock


class Lifecycle:
    """The one owner of the phase. Observers are called after each move, in the loop, at once.

    `fenced_off` says, while stepping down, whether the term ended by a refused write.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._observers: list[Callable[[Phase], None]] = []
        self.phase = Phase.STARTING
        self.epoch = 0
        self.fenced_off = False
        self.server_id = -1
        self.since_s = clock.boottime()

    def to(self, phase: Phase, *, epoch: int = 0) -> None:
        """Move on; `epoch` is that of the term which begins. Raises IllegalMove."""
        self.phase = move(self.phase, phase)
        self.since_s = self._clock.boottime()
        if phase is Phase.ACTIVATING:
            self.epoch = epoch
        elif phase in (Phase.STANDBY, Phase.STOPPING):
            self.epoch = 0
        for observer in self._observers:
            observer(phase)

    def observe(self, observer: Callable[[Phase], None]) -> None:
        """Call `observer` with each new phase from now on."""
        self._observers.append(observer)
