"""The faults that are measured, what is expected of each, and the bounds that it must keep."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from milvus_coord.ha.pair.takeover import Cause

LARGE_EXTRA_MS: Final = 100
"""What 10,000 collections may add to a bound."""


class Place(Enum):
    """Where the two of a pair run."""

    LOCAL = "on one host"
    HOSTS = "on a host each"  # network and process namespaces


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of fault.

    Attributes:
        fault: what is done, a name in `faults.FAULTS`.
        members: of the etcd cluster.
        causes: one of these is what the history must say; empty where nobody may take over.
        p50_ms, p99_ms: the bounds of ours; None where there is none.
        go: whether Go Milvus knows how to go through it at all.
    """

    name: str
    fault: str
    place: Place = Place.LOCAL
    members: int = 1
    causes: frozenset[Cause] = frozenset()
    p50_ms: float | None = None
    p99_ms: float | None = None
    go: bool = True

    @property
    def fails_over(self) -> bool:
        return bool(self.causes)

    def bounds(self, collections: int) -> list[tuple[float, float]]:
        """Pairs of (percent, milliseconds)."""
        extra_ms = LARGE_EXTRA_MS if collections else 0
        pairs = ((50.0, self.p50_ms), (99.0, self.p99_ms))
        return [(percent, bound + extra_ms) for percent, bound in pairs if bound is not None]


def _causes(*causes: Cause) -> frozenset[Cause]:
    return frozenset(causes)


CASES: Final = (
    Case("sigterm", "sigterm", causes=_causes(Cause.STOPPED), p99_ms=50),
    Case("switchover", "switchover", causes=_causes(Cause.SWITCHOVER), p99_ms=50, go=False),
    Case("kill", "kill", causes=_causes(Cause.PROCESS_DIED), p50_ms=30, p99_ms=100),
    Case("kill-other-host", "kill", Place.HOSTS, causes=_causes(Cause.UNREACHABLE), p99_ms=1800),
    Case("frozen", "freeze", Place.HOSTS, causes=_causes(Cause.SILENT), p99_ms=2500),
    Case("host-lost", "lose_host", Place.HOSTS, causes=_causes(Cause.SILENT), p99_ms=2500),
    Case("cut-etcd", "cut_etcd", Place.HOSTS, causes=_causes(Cause.UNPROVEN), p99_ms=2500),
    Case("etcd-leader-killed", "kill_etcd_leader", members=3),
    Case("etcd-member-lost", "kill_etcd_follower", members=3),
    Case("etcd-compacted", "compact_etcd"),
    Case("etcd-stopped", "stop_etcd"),
)
