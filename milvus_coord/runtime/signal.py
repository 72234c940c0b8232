"""Wake everybody who waits for something to change."""

from __future__ import annotations

import asyncio


class Signal:
    """A bell: `wait` returns at the next `ring`. Look at the state first, then wait.

    Between the look and `wait` there must be no await, or a ring may be missed; `mark` and
    `wait(since=mark)` is for those who have one.
    """

    def __init__(self) -> None:
        self._version = 0
        self._event = asyncio.Event()

    def version(self) -> int:
        """How often it has rung so far."""
        return self._version

    def notify(self) -> None:
        """Wake all who wait now."""
        self._version += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, since: int | None = None) -> None:
        """Return at the next ring, or at once when it has rung after the mark `since`."""
        if since is not None and since != self._version:
            return
        await self._event.wait()
