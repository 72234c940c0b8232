"""The serve lease S: the right to do what etcd cannot fence, such as handing out timestamps."""

from __future__ import annotations

from typing import Final

from milvus_coord.model.errors import NotServing
from milvus_coord.runtime.clock import Clock

RENEWALS_PER_LEASE: Final = 4


class ServeLease:
    """A right that lapses by our own clock unless it was proven of late.

    Each proof counts from *before* its request was sent. `require` is asked at the last moment
    before every effect that no transaction guards.
    """

    def __init__(self, clock: Clock, lease_s: float, proven_at: float) -> None:
        self._clock, self._lease_s = clock, lease_s
        self._proven_at = proven_at
        self._good_until = proven_at + lease_s

    def prove(self, sent_at: float) -> None:
        """Leadership was seen in etcd by a linearizable read sent at `sent_at` (boot time, s)."""
        self._proven_at = max(self._proven_at, sent_at)
        self._good_until = self._proven_at + self._lease_s

    def require(self) -> None:
        """Raises NotServing when the right has lapsed."""
        if not self.holds:
            late_s = self._clock.boottime() - self._good_until
            raise NotServing(
                f"the serve lease lapsed {late_s:.1f} s ago: leadership could not be proven in etcd"
            )

    @property
    def holds(self) -> bool:
        """Whether the right stands now."""
        return self._clock.boottime() < self._good_until

    @property
    def age_s(self) -> float:
        """Seconds since leadership was last proven."""
        return self._clock.boottime() - self._proven_at

    @property
    def renew_every_s(self) -> float:
        """How often to prove leadership, in seconds."""
        return self._lease_s / RENEWALS_PER_LEASE
