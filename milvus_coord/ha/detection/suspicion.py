"""What the beats of an active say about it: a pure state machine over the health stream."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from milvus_coord.ha.pair.takeover import Cause

BEATS_MISSED: Final = 5
LAGS_BORNE: Final = 3
SILENCE_S_MAX: Final = 5.0
"""However long its loop stood still of late, an active that says nothing for so long is asked."""

_TO_CONNECT_S: Final = 0.5
_UNPROVEN_PART: Final = 0.5
_LEFT_ALONE_S: Final = 1.0


class Link(Enum):
    """The health stream: `DOWN -> UP -> DOWN | REFUSED`, `REFUSED -> UP | DOWN`."""

    DOWN = "down"
    UP = "up"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Sign:
    """Why the active is suspected; `since_s` is when it last gave a good sign (boot time, s)."""

    cause: Cause
    since_s: float

    def __str__(self) -> str:
        return self.cause.value


class Suspicion:
    """Suspects one active, for as long as it holds the active key. Times are boot time in seconds.

    | seen | sign |
    |---|---|
    | once up, the stream was reset and connecting is refused | UNREACHABLE |
    | five beats are missing, or three times the worst stall of its loop of late | SILENT |
    | no beat ever came, for half a second more, in which to connect | SILENT |
    | beats come, but half its serve lease has passed without a proof in etcd | UNPROVEN |

    A sign only asks for a challenge. After one that was answered the active is left alone for a
    second, whatever the signs.

    Attributes:
        heard_s: when the last beat came; before the first, when the watch began.
    """

    def __init__(self, *, beat_s: float, serve_lease_s: float, now_s: float) -> None:
        self._beat_s, self._unproven_s_max = beat_s, serve_lease_s * _UNPROVEN_PART
        self._link = Link.DOWN
        self.heard_s = now_s
        self._heard_ever = False
        self._lag_s = 0.0
        self._unproven_s = 0.0
        self._alone_until_s = 0.0

    def beat(self, now_s: float, *, lag_s: float, unproven_s: float) -> None:
        """A beat came: the worst stall of the active's loop of late, the age of its last proof."""
        self._link, self._heard_ever = Link.UP, True
        self.heard_s, self._lag_s, self._unproven_s = now_s, lag_s, unproven_s

    def ended(self) -> None:
        """The stream ended or could not be made, in whatever way but a refusal."""
        self._link = Link.DOWN

    def refused(self) -> None:
        """Nobody listens at the active's address."""
        self._link = Link.REFUSED

    def answered(self, now_s: float) -> None:
        """The active has answered a challenge through etcd."""
        self._alone_until_s = now_s + _LEFT_ALONE_S

    def sign(self, now_s: float) -> Sign | None:
        """What speaks against the active now, if anything does."""
        if now_s < self._alone_until_s:
            return None
        # Before the first beat it may still be about to listen.
        if self._link is Link.REFUSED and self._heard_ever:
            return Sign(Cause.UNREACHABLE, self.heard_s)
        if now_s - self.heard_s >= self._silence_s:
            return Sign(Cause.SILENT, self.heard_s)
        if self._link is Link.UP and self._unproven_s > self._unproven_s_max:
            return Sign(Cause.UNPROVEN, self.heard_s - self._unproven_s)
        return None

    def next_look_s(self, now_s: float) -> float:
        """In how many seconds there may be a sign although nothing more is heard."""
        if now_s < self._alone_until_s:
            return self._alone_until_s - now_s
        return max(0.0, self.heard_s + self._silence_s - now_s)

    @property
    def _silence_s(self) -> float:
        patient_s = max(BEATS_MISSED * self._beat_s, LAGS_BORNE * self._lag_s)
        if not self._heard_ever:
            patient_s += _TO_CONNECT_S
        return min(patient_s, max(SILENCE_S_MAX, BEATS_MISSED * self._beat_s))
