"""Locks of the changes of users, roles and grants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from milvus_coord.model.errors import CoordError, NotServing, Refused
from milvus_coord.runtime.locks import KeyedLocks
from milvus_coord.telemetry.log import log


class Changing:
    """The right to make the one change of the moment."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock

    @asynccontextmanager
    async def changing(self, failed: str = "", **about: object) -> AsyncIterator[None]:
        """No other change is made until the block ends.

        `failed` is what Go 2.2.16 answers to all trouble in etcd; the log tells the cause and what
        it is `about`.
        """
        async with self._lock:
            try:
                yield
            except (NotServing, Refused):
                raise
            except CoordError as error:
                if not failed:
                    raise
                log.warn(failed, error=str(error), **about)
                raise CoordError(failed) from error


class AccessLocks(Changing):
    """A user's password first, then the change: from a change no way leads to a password."""

    def __init__(self) -> None:
        super().__init__(asyncio.Lock())
        self._passwords: KeyedLocks[str] = KeyedLocks()

    @asynccontextmanager
    async def password_of(self, name: str) -> AsyncIterator[Changing]:
        """Nobody else changes this user's password, or tells the proxies of it.

        The proxies would end up with an older one, or with that of a user who is gone.
        """
        async with self._passwords.hold(name):
            yield Changing(self._lock)
