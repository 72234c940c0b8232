"""What a client saw of a pair of servers, and the questions that a failover test asks of it."""

from __future__ import annotations

import bisect
import enum
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final


class Method(enum.IntEnum):
    """What was called; values are those of the hammer's record."""

    STALL = 0  # no call: the client itself was not run between `sent_s` and `received_s`
    ALLOC_TIMESTAMP = 1
    ALLOC_ID = 2
    STATES = 3


class Outcome(enum.IntEnum):
    OK = 0  # status Success; for STATES: Healthy
    NOT_SERVING = 1  # a status other than Success; for STATES: any other state
    REFUSED = 2  # no connection
    FAILED = 3  # a gRPC error, or the connection was lost with the call in flight
    TIMEOUT = 4  # not answered in time; if the answer comes after all it is another sighting


@dataclass(frozen=True, slots=True)
class Sighting:
    """One try of one call.

    Attributes:
        server_id: ServerID that the process behind this connection names in GetComponentStates,
            0 while unknown.
        sent_s, received_s: CLOCK_BOOTTIME; dialling included.
        first, count: the values `first..first + count - 1` were handed out; for STATES `first` is
            the StateCode.
    """

    address: str
    method: Method
    outcome: Outcome
    connection: int
    server_id: int
    sent_s: float
    received_s: float
    first: int
    count: int

    @property
    def last(self) -> int:
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True)
class Tenure:
    """A stretch in which one address alone answered as the active one."""

    address: str
    answers: int
    first: Sighting
    last: Sighting


@dataclass(frozen=True, slots=True)
class Gap:
    """From one success to the next, CLOCK_BOOTTIME."""

    began_s: float
    ended_s: float

    @property
    def length_s(self) -> float:
        return self.ended_s - self.began_s


ALLOCATIONS: Final = (Method.ALLOC_TIMESTAMP, Method.ALLOC_ID)


class Sightings:
    """All tries of one run; the checks raise AssertionError with the sightings that contradict."""

    def __init__(self, tries: Iterable[Sighting]) -> None:
        self.tries = sorted(tries, key=lambda one: one.sent_s)

    def successes(self, *methods: Method, address: str | None = None) -> list[Sighting]:
        """Answers that only an active one gives, by the time they were asked for."""
        return [
            one
            for one in self.tries
            if one.outcome is Outcome.OK
            and one.method in (methods or ALLOCATIONS)
            and address in (None, one.address)
        ]

    def check_values(self, method: Method, *, at_least: int = 1) -> None:
        """No value came twice, and none is below one that was received before it was asked for.

        Fails too when there are fewer than `at_least` answers to judge.
        """
        answers = self.successes(method)
        assert len(answers) >= at_least, f"only {len(answers)} answers of {method.name}"
        by_value = sorted(answers, key=lambda one: one.first)
        for below, above in itertools.pairwise(by_value):
            assert below.last < above.first, f"handed out twice:\n{below}\n{above}"
        by_reply = sorted(answers, key=lambda one: one.received_s)
        known, highest = 0, None
        for answer in answers:
            while by_reply[known].received_s < answer.sent_s:
                if highest is None or by_reply[known].last > highest.last:
                    highest = by_reply[known]
                known += 1
            if highest is not None:
                assert highest.last < answer.first, f"went back:\n{highest}\n{answer}"

    def tenures(self, *methods: Method) -> list[Tenure]:
        """Who was active when, with as few changes as the answers allow.

        Each answer proves its address active at some moment between its sending and its receiving;
        two actives at a time show as a long list of short tenures.
        """
        answers = self.successes(*methods)
        starts = sorted({one.address for one in answers})
        ways = [way for start in starts if (way := _tenures(answers, start))]
        return min(ways, key=len, default=[])

    def check_tenures(self, *addresses: str) -> list[Tenure]:
        """The addresses were active in exactly this order, one at a time."""
        found = self.tenures()
        assert [one.address for one in found] == list(addresses), "\n".join(
            f"{one.address} {one.answers} answers, {one.first.sent_s:.3f}-{one.last.received_s:.3f}"
            for one in found
        )
        return found

    def longest_gap(
        self, *methods: Method, after_s: float = -math.inf, before_s: float = math.inf
    ) -> Gap:
        """The longest time without a success, of those that begin in the window given.

        A gap still open at the last sighting counts up to that. Raises ValueError without any.
        """
        times = sorted(one.received_s for one in self.successes(*methods))
        times.append(max(one.received_s for one in self.tries))
        gaps = (
            Gap(began_s, ended_s)
            for began_s, ended_s in itertools.pairwise(times)
            if ended_s >= after_s and began_s <= before_s
        )
        return max(gaps, key=lambda gap: gap.length_s)

    def first_success(self, address: str, *, after_s: float, method: Method | None = None) -> float:
        """When the first success of `address` came in after `after_s`. Raises ValueError."""
        wanted = (method,) if method is not None else ALLOCATIONS
        times = sorted(one.received_s for one in self.successes(*wanted, address=address))
        at = bisect.bisect_left(times, after_s)
        if at == len(times):
            raise ValueError(f"{address} did not answer after {after_s}")
        return times[at]

    def stalled_s(self, gap: Gap) -> float:
        """For how long the client itself was not run within the gap."""
        return sum(
            max(0.0, min(one.received_s, gap.ended_s) - max(one.sent_s, gap.began_s))
            for one in self.tries
            if one.method is Method.STALL
        )


class _Queue:
    """The answers of one address in order of sending, taken from the front."""

    def __init__(self, answers: Sequence[Sighting]) -> None:
        self._answers = answers
        self._taken = 0
        self._due_s = [one.received_s for one in answers]
        for index in reversed(range(len(answers) - 1)):
            self._due_s[index] = min(self._due_s[index], self._due_s[index + 1])

    @property
    def due_s(self) -> float:
        """When the first of those left was received: what comes next was not sent later."""
        return self._due_s[self._taken] if self._taken < len(self._due_s) else math.inf

    def take_until(self, limit_s: float) -> Sequence[Sighting]:
        """All that were sent up to `limit_s`."""
        begin = self._taken
        while self._taken < len(self._answers) and self._answers[self._taken].sent_s <= limit_s:
            self._taken += 1
        return self._answers[begin : self._taken]


def _tenures(answers: Sequence[Sighting], start: str) -> list[Tenure] | None:
    """Tenures when `start` is the first, each as long as possible; None when it cannot be first."""
    queues = {
        address: _Queue([one for one in answers if one.address == address])
        for address in {one.address for one in answers}
    }
    found: list[Tenure] = []
    current = start
    while True:
        limit_s = min((q.due_s for who, q in queues.items() if who != current), default=math.inf)
        taken = queues[current].take_until(limit_s)
        if not taken:
            return None
        found.append(Tenure(current, len(taken), taken[0], taken[-1]))
        left = [address for address, queue in queues.items() if queue.due_s < math.inf]
        if not left:
            return found
        current = min(left, key=lambda address: queues[address].due_s)
