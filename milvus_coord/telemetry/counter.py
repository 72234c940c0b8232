"""A counter whose samples carry its very name; prometheus_client's own would append `_total`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from prometheus_client import Metric


class Count:
    """One series of a counter; only goes up. Safe to use from any thread."""

    __slots__ = ("_lock", "_value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add `amount`. Raises ValueError when it is negative."""
        if amount < 0:
            raise ValueError(f"a counter only goes up, got {amount}")
        with self._lock:
            self._value += amount

    @property
    def value(self) -> float:
        return self._value


class Counter:
    """A counter with or without labels; without labels it shows 0 from the start, as in Go."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = ()) -> None:
        self._name, self._help = name, help_text
        self._labels = tuple(labels)
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], Count] = {}
        if not self._labels:
            self.labels()

    def labels(self, *values: object, **named: object) -> Count:
        """The series of these label values, by place or by name; keep it where it is used often.

        Raises ValueError when they are not exactly the counter's labels.
        """
        if named:
            if values or named.keys() != set(self._labels):
                raise ValueError(f"{self._name} has the labels {self._labels}, got {named}")
            values = tuple(named[label] for label in self._labels)
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {self._labels}, got {values}")
        key = tuple(map(str, values))
        with self._lock:
            return self._counts.setdefault(key, Count())

    def inc(self, amount: float = 1) -> None:
        """Add to the only series of a counter without labels."""
        self.labels().inc(amount)

    def remove(self, *values: object) -> None:
        """Forget the series of these label values, if there."""
        with self._lock:
            self._counts.pop(tuple(map(str, values)), None)

    def describe(self) -> Iterable[Metric]:
        """For the registry: the name this counter takes."""
        return [Metric(self._name, self._help, "counter")]

    def collect(self) -> Iterable[Metric]:
        """For the registry: the samples of the moment."""
        metric = Metric(self._name, self._help, "counter")
        with self._lock:
            counts = list(self._counts.items())
        for key, count in counts:
            metric.add_sample(self._name, dict(zip(self._labels, key, strict=True)), count.value)
        return [metric]
