"""Locks by key, shared or exclusive, taken in one order so that nobody waits in a circle."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar


class Ordered(Protocol):
    """A key: hashable, and comparable with its like."""

    def __lt__(self, other: Any, /) -> bool: ...

    def __hash__(self) -> int: ...


K = TypeVar("K", bound=Ordered)


class KeyedLocks(Generic[K]):
    """Any number of holders share a key, or one has it alone; first come, first served.

    A key that nobody holds or waits for takes no memory. Not re-entrant: a task that holds
    keys and takes more of the same `KeyedLocks` can wait for itself.
    """

    def __init__(self) -> None:
        self._locks: dict[K, _Lock] = {}

    def __len__(self) -> int:
        """How many keys are held or waited for."""
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, *keys: K, shared: Iterable[K] = ()) -> AsyncIterator[None]:
        """Hold all of `keys` alone, and those of `shared` with others, until the block ends.

        A key named twice is held once, and alone if it is among `keys`. A cancelled wait leaves
        nothing behind.
        """
        alone = set(keys)
        held: list[tuple[K, bool]] = []
        try:
            for key in sorted(alone.union(shared)):
                await self._acquire(key, alone=key in alone)
                held.append((key, key in alone))
            yield
        finally:
            for key, was_alone in reversed(held):
                self._release(key, alone=was_alone)

    async def _acquire(self, key: K, *, alone: bool) -> None:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = _Lock()
        if not lock.waiting and lock.admits(alone=alone):
            lock.enter(alone=alone)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (turn, alone)
        lock.waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # our turn came while we were cancelled
                self._release(key, alone=alone)
            elif entry in lock.waiting:
                lock.waiting.remove(entry)
                self._wake(key, lock)
            raise

    def _release(self, key: K, *, alone: bool) -> None:
        lock = self._locks[key]
        lock.leave(alone=alone)
        self._wake(key, lock)

    def _wake(self, key: K, lock: _Lock) -> None:
        """Let those in who are next; forget a lock that is of no use to anybody."""
        while lock.waiting and lock.admits(alone=lock.waiting[0][1]):
            turn, alone = lock.waiting.popleft()
            if not turn.cancelled():
                lock.enter(alone=alone)
                turn.set_result(None)
        if not lock.waiting and lock.free:
            del self._locks[key]


class _Lock:
    __slots__ = ("alone", "sharers", "waiting")

    def __init__(self) -> None:
        self.alone = False
        self.sharers = 0
        self.waiting: deque[tuple[asyncio.Future[None], bool]] = deque()

    @property
    def free(self) -> bool:
        return not self.alone and not self.sharers

    def admits(self, *, alone: bool) -> bool:
        return self.free if alone else not self.alone

    def enter(self, *, alone: bool) -> None:
        if alone:
            self.alone = True
        else:
            self.sharers += 1

    def leave(self, *, alone: bool) -> None:
        if alone:
            self.alone = False
        else:
            self.sharers -= 1
