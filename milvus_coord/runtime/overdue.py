"""Notice once that something is overdue, and once that it has come after all."""

from __future__ import annotations

from typing import Generic, TypeVar

from milvus_coord.runtime.clock import Clock

K = TypeVar("K")


class Overdue(Generic[K]):
    """Signs of life of several keys; one without a sign for `patience_s` is overdue."""

    def __init__(self, clock: Clock, patience_s: float) -> None:
        self._clock, self._patience_s = clock, patience_s
        self._since_s: dict[K, float] = {}
        self._said: set[K] = set()

    def expect(self, key: K) -> None:
        """Count the seconds without a sign of `key` from now on, unless that is done already."""
        self._since_s.setdefault(key, self._clock.boottime())

    def seen(self, key: K) -> float | None:
        """A sign of `key`. The seconds it took if it had been called overdue, else None."""
        now_s = self._clock.boottime()
        since_s = self._since_s.get(key, now_s)
        self._since_s[key] = now_s
        return self._over(key, since_s, now_s)

    def forget(self, key: K) -> float | None:
        """Expect nothing more of `key`. Returns what `seen` would."""
        now_s = self._clock.boottime()
        return self._over(key, self._since_s.pop(key, now_s), now_s)

    def newly_overdue(self) -> list[tuple[K, float]]:
        """Keys that are overdue and have not been called so yet, with their seconds."""
        now_s = self._clock.boottime()
        found = [
            (key, now_s - since_s)
            for key, since_s in self._since_s.items()
            if now_s - since_s >= self._patience_s and key not in self._said
        ]
        self._said.update(key for key, _ in found)
        return found

    def restart(self) -> None:
        """Something else explains the silence: count anew for all that are not overdue yet."""
        now_s = self._clock.boottime()
        for key in self._since_s.keys() - self._said:
            self._since_s[key] = now_s

    @property
    def any_overdue(self) -> bool:
        """Whether a key has been called overdue and still is."""
        return bool(self._said)

    def _over(self, key: K, since_s: float, now_s: float) -> float | None:
        if key not in self._said:
            return None
        self._said.discard(key)
        return now_s - since_s
