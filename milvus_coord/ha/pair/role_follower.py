"""Follow the snapshots of some roles, and know how long each instance has been silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.role_snapshot import FRESH_S, RoleSnapshot
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.signal import Signal
from milvus_coord.runtime.taskgroup import TaskGroup

STALE_S: Final = FRESH_S
"""An instance that has not written its status for so long is called stale."""


class RoleFollower:
    """The newest known keys of `roles`, for commands; `changed` is notified after each change."""

    def __init__(self, etcd: Etcd, clock: Clock, meta_root: str, roles: tuple[str, ...]) -> None:
        self._clock = clock
        self.changed = Signal()
        self._pairs = {
            role: PairState(etcd, clock, Keys(meta_root, role), self.changed) for role in roles
        }

    async def run(self) -> None:
        """Follow until cancelled. Raises etcd's errors, but waits out an etcd that is away."""
        async with TaskGroup() as tasks:
            for role, pair in self._pairs.items():
                tasks.create_task(pair.follow(on=(Unavailable,)), name=f"ha.follow {role}")

    async def listed(self, within_s: float) -> None:
        """Wait until all keys have been read once. Raises Unavailable."""
        try:
            async with asyncio.timeout(within_s):
                while not all(pair.snapshot.listed for pair in self._pairs.values()):
                    await self.changed.wait()
        except TimeoutError:
            text = f"etcd did not list the keys of {', '.join(self._pairs)} in {within_s:.0f} s"
            raise Unavailable(text, sent=False) from None

    async def statuses_fresh(self) -> None:
        """Wait until every instance has written its status anew, or is stale."""
        while True:
            now_s = self._clock.boottime()
            listed = [
                seen.seen_s
                for pair in self._pairs.values()
                for seen in pair.snapshot.statuses.values()
                if seen.listed
            ]
            left_s = STALE_S - (now_s - max(listed, default=now_s - STALE_S))
            if left_s <= 0:
                return
            await self.change(left_s)

    async def change(self, within_s: float, *, since: int | None = None) -> None:
        """Wait for a change (after version `since`), or until so many seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.changed.wait(since=since)

    def snapshot(self, role: str) -> RoleSnapshot:
        """What one role's keys say, as far as it is known now."""
        return self._pairs[role].snapshot

    def silent_s(self, role: str, server_id: int) -> float | None:
        """Seconds since the last write of that status was seen; None when there is no status.

        At least so long, for one that has not been written since `run` began.
        """
        seen = self.snapshot(role).statuses.get(server_id)
        return None if seen is None else self._clock.boottime() - seen.seen_s

    def stale(self, role: str, server_id: int) -> bool:
        """Whether that instance has a status and writes it no more."""
        return (self.silent_s(role, server_id) or 0.0) >= STALE_S
