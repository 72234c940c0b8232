"""Keep the memory of the process in huge pages, so that the other one hears of a kill sooner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from milvus_coord.runtime.huge_pages import collapse, resident_bytes
from milvus_coord.runtime.loop import Loop
from milvus_coord.telemetry.log import log

_LOOK_EVERY_S: Final = 2.0
GROWN_BYTES: Final = 32 << 20
"""So much more than last time is worth another move: about a millisecond of a takeover."""


class HugePages:
    """Moves memory when it has grown and rests: while much is read, more comes every moment.

    Args:
        resident: how many bytes this process holds.
        move: as `runtime.huge_pages.collapse`; called in a thread.
    """

    def __init__(
        self, resident: Callable[[], int] = resident_bytes, move: Callable[[], int] = collapse
    ) -> None:
        self._resident, self._move = resident, move
        self._before = self._moved_at = 0

    def loop(self) -> Loop:
        """Look every two seconds."""
        return Loop("app.memory", _LOOK_EVERY_S, self.turn)

    async def turn(self) -> None:
        before, self._before = self._before, self._resident()
        rests = self._before - before < GROWN_BYTES
        if rests and self._before - self._moved_at >= GROWN_BYTES:
            huge = await asyncio.to_thread(self._move)
            self._moved_at = self._resident()
            log.debug("memory moved to huge pages", resident=self._before, huge=huge)
