"""Wake everybody who waits for something to change."""

from __future__ import annotations

import asyncio


class Changed:
    """A bell: `wait` returns at the next `ring`. Look at the state first, then wait.

    Between the look and `wait` there must be no await, or a ring may be missed; `mark` and
    `wait(since=mark)` is for those who have one.
    """

    def __init__(self) -> None:
        self._rings = 0
        self._event = asyncio.Event()

    def mark(self) -> int:
        """How often it has rung so far."""
        return self._rings

    def ring(self) -> None:
        """Wake all who wait now."""
        self._rings += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, since: int | None = None) -> None:
        """Return at the next ring, or at once when it has rung after the mark `since`."""
        if since is not None and since != self._rings:
            return
        await self._event.wait()
