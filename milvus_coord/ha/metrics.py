"""The metrics of failover; Milvus has none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from milvus_coord.ha.election.fence import RefusedBy
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.telemetry.metrics import Metrics

_MS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class HaMetrics:
    """Bound once by the composition root."""

    def __init__(self, metrics: Metrics) -> None:
        self._suspicions = metrics.counter(
            "milvus_coord_suspicion_count", "times the active was suspected", ("sign",)
        )
        self._challenges = metrics.counter(
            "milvus_coord_challenge_count", "challenges put to the active", ("outcome",)
        )
        self._answers = metrics.counter(
            "milvus_coord_challenge_answered_count", "challenges that we answered as the active"
        )
        self._refusals = metrics.counter(
            "milvus_coord_deposed_write_count",
            "writes that were kept out because our term was over",
            ("by",),
        )
        for by in RefusedBy:
            self._refusals.labels(by.value)  # 0 until it happens: an alert needs it to be there
        self._takeovers = metrics.counter(
            "milvus_coord_takeover_count", "times the active key was won, by cause", ("cause",)
        )
        self._phases = metrics.gauge(
            "milvus_coord_last_takeover_ms", "phases of our last takeover, in ms", ("phase",)
        )
        self._etcd = metrics.histogram(
            "milvus_coord_etcd_write_ms", "time of the failover's own writes", buckets=_MS
        )
        self._renewals = metrics.histogram(
            "milvus_coord_lease_interval_ms",
            "time between two renewals of the session lease",
            buckets=(*_MS, 10_000, 20_000),
        )
        self._lease_age = metrics.gauge(
            "milvus_coord_lease_age_ms", "since the session lease was renewed"
        )
        self._serve_age = metrics.gauge(
            "milvus_coord_serve_lease_age_ms", "since leadership was proven, 0 when not leading"
        )
        self._behind = metrics.gauge(
            "milvus_coord_mirror_behind", "revisions that the mirror has not seen, -1: unknown"
        )
        self._loop_lag = metrics.gauge(
            "milvus_coord_loop_lag_ms", "longest stall of the main loop in ten seconds"
        )
        self._ready = metrics.gauge("milvus_coord_ready", "1 when we could take over at once")

    def suspected(self, sign: Cause) -> None:
        """The active gave a bad sign, and is asked."""
        self._suspicions.labels(sign.value).inc()

    def challenged(self, outcome: str) -> None:
        """A challenge of ours has ended."""
        self._challenges.labels(outcome).inc()

    def answered(self) -> None:
        """We answered a challenge."""
        self._answers.inc()

    def refused(self, by: RefusedBy) -> None:
        """A write of ours came after our term."""
        self._refusals.labels(by.value).inc()

    def took_over(self, cause: Cause) -> None:
        """The active key is ours."""
        self._takeovers.labels(cause.value).inc()

    def served(self, phases: Mapping[str, float]) -> None:
        """Our term serves; `phases` in milliseconds."""
        for phase, took_ms in phases.items():
            self._phases.labels(phase).set(took_ms)

    def wrote(self, seconds: float) -> None:
        """One write of the failover's own took so long."""
        self._etcd.observe(seconds * 1000)

    def renewed(self, interval_s: float) -> None:
        """The session lease was renewed, so long after the last time."""
        self._renewals.observe(interval_s * 1000)

    def stands(
        self,
        *,
        lease_age_ms: int,
        serve_age_ms: int | None,
        behind: int | None,
        loop_lag_ms: int,
        ready: bool,
    ) -> None:
        """Where we stand, each second."""
        self._lease_age.set(lease_age_ms)
        self._serve_age.set(serve_age_ms or 0)
        self._behind.set(-1 if behind is None else behind)
        self._loop_lag.set(loop_lag_ms)
        self._ready.set(int(ready))
