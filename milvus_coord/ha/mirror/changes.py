"""Wake those who wait for a key of the mirror to change, and tell them which."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Changed:
    """What has changed since the last time.

    With `everything` any key may have: the mirror was read anew, or this is the first time.
    """

    keys: frozenset[bytes]
    everything: bool


class Changes:
    """The keys below one prefix of a mirror that changed since they were taken last."""

    def __init__(self, prefix: bytes, *, synced: bool) -> None:
        self.prefix = prefix
        self._keys: set[bytes] = set()
        self._everything = False
        self._some = asyncio.Event()
        if synced:
            self.put_all()

    async def take(self) -> Changed:
        """Wait until something has changed. By then the image has it, as whole transactions.

        The first time it returns at once, or as soon as the mirror is read.
        """
        await self._some.wait()
        changed = Changed(frozenset(self._keys), self._everything)
        self._keys.clear()
        self._everything = False
        self._some.clear()
        return changed

    def put(self, key: bytes) -> None:
        """The key was written or deleted."""
        if not self._everything:
            self._keys.add(key)
        self._some.set()

    def put_all(self) -> None:
        """There is another image."""
        self._keys.clear()
        self._everything = True
        self._some.set()
