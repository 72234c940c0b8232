"""How long each phase of a takeover takes."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.ha.election.decisions import ClaimActiveKey
from milvus_coord.ha.pair.leadership_record import LeadershipRecord
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class SeenEnd:
    """What a standby saw of the end of the leader that it watched; boot times (s).

    Attributes:
        moved_s: when the active key changed, None when that was before we looked.
        beat_s: when its last beat came, None when there was none.
    """

    moved_s: float | None = None
    beat_s: float | None = None


def before_claim(
    cause: Cause,
    claim: ClaimActiveKey,
    written: LeadershipRecord | None,
    end: SeenEnd,
    sent_at: float,
    wall_s: float,
) -> dict[str, float]:
    """The phases without service before the claim that was sent at `sent_at`, in seconds.

    `wall_s` is that moment as Unix time, for an end that nobody saw but the one that ended: its
    clock and ours are compared then.

    "stop" is how long the leader before refused work until it gave the key up, by its own clock;
    "detect" is from then, or from its last good sign, to the claim. Both are absent when nobody
    knows: a Go coordinator led, or nobody was there to see it end.
    """
    if claim.order is not None:
        return {"detect": sent_at - claim.order.since_s}
    if cause in (Cause.STOPPED, Cause.SWITCHOVER, Cause.FAILED) and written:
        stop = {} if written.stop_ms is None else {"stop": written.stop_ms / 1000}
        if end.moved_s:
            return {**stop, "detect": sent_at - end.moved_s}
        if written.at_ms:
            return {**stop, "detect": max(0.0, wall_s - written.at_ms / 1000)}
    if cause is Cause.LEASE_ENDED and end.beat_s:
        return {"detect": sent_at - end.beat_s}
    return {}


class Phases:
    """A stop watch with names; milliseconds in the order in which the phases ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s = clock.boottime()
        self.took_ms: dict[str, float] = {}

    def book(self, name: str, seconds: float) -> None:
        """A phase that was measured elsewhere."""
        self.took_ms[name] = round(seconds * 1000, 1)
        self._since_s = self._clock.boottime()

    def end(self, name: str) -> None:
        """The phase `name` has lasted since the one before it ended."""
        self.book(name, self._clock.boottime() - self._since_s)
