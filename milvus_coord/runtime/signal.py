"""Wake all tasks that wait for something to change."""

from __future__ import annotations

import asyncio


class Signal:
    """`wait` returns at the next `notify`. Look at the state first, then wait.

    With an await between the look and `wait` a notification may be missed: take `version` before
    the look, and `wait(since=version)` then.
    """

    def __init__(self) -> None:
        self._version = 0
        self._event = asyncio.Event()

    def version(self) -> int:
        """How often `notify` was called so far."""
        return self._version

    def notify(self) -> None:
        """Wake all who wait now."""
        self._version += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, since: int | None = None) -> None:
        """Return at the next `notify`, or at once after one since the version `since`."""
        if since is not None and since != self._version:
            return
        await self._event.wait()
