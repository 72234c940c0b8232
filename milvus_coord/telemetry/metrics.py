"""The metrics of one process, under the exact names Milvus gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from milvus_coord.telemetry.counter import Counter
from milvus_coord.telemetry.exposition import exposition

BUCKETS: Final = tuple(float(2**power) for power in range(18))
"""Milvus' default buckets, 1 to 131072; mostly milliseconds."""

_Kind = TypeVar("_Kind", Counter, Gauge, Histogram)


class Metrics:
    """Makes, keeps and renders metrics. The composition root owns the one of the process.

    Asking again for a metric of the same name, kind, labels and buckets returns the same one. A
    name starts with `milvus_`, one that Milvus does not have with `milvus_coord_`. A gauge or
    counter with labels shows a series from its first use until `remove(*values)`.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._runtime = CollectorRegistry()
        self._made: dict[str, tuple[object, object]] = {}
        ProcessCollector(registry=self._runtime)
        PlatformCollector(registry=self._runtime)
        GCCollector(registry=self._runtime)

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """A counter exposed as `name`, with no suffix. Raises ValueError for a name in use."""
        shape = (Counter, tuple(labels))
        made = self._find(name, shape, Counter)
        if made is None:
            made = Counter(name, help_text, labels)
            self._registry.register(made)
            self._made[name] = shape, made
        return made

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        """A gauge exposed as `name`. Raises ValueError for a name in use."""
        shape = (Gauge, tuple(labels))
        made = self._find(name, shape, Gauge)
        if made is None:
            made = Gauge(name, help_text, labels, registry=self._registry)
            self._made[name] = shape, made
        return made

    def histogram(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = BUCKETS,
    ) -> Histogram:
        """A histogram exposed as `name`; `+Inf` is added. Raises ValueError for a name in use."""
        shape = (Histogram, tuple(labels), tuple(buckets))
        made = self._find(name, shape, Histogram)
        if made is None:
            made = Histogram(name, help_text, labels, registry=self._registry, buckets=buckets)
            self._made[name] = shape, made
        return made

    def render(self) -> bytes:
        """All metrics in Prometheus text 0.0.4; about 0.1 ms per histogram, so not on the loop."""
        return exposition([*self._registry.collect(), *self._runtime.collect()])

    def render_runtime(self) -> bytes:
        """The process and interpreter alone: what `/metrics_default` shows."""
        return exposition(self._runtime.collect())

    def _find(self, name: str, shape: object, kind: type[_Kind]) -> _Kind | None:
        if not name.startswith("milvus_"):
            raise ValueError(f"metric names start with milvus_, got {name!r}")
        if name not in self._made:
            return None
        known, made = self._made[name]
        if known != shape or not isinstance(made, kind):
            raise ValueError(f"metric {name} exists already with another kind, labels or buckets")
        return made
