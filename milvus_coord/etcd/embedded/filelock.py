"""Locks between processes on files; the kernel drops them when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from milvus_coord.runtime.clock import Clock

_POLL_S: Final = 0.02


class FileLock:
    """An advisory lock on `path`, which is made when it is not there and never removed."""

    def __init__(self, path: Path) -> None:
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> bool:
        """Hold it together with others; False when somebody holds it alone."""
        return self._lock(fcntl.LOCK_SH)

    def take(self) -> bool:
        """Hold it alone; False when anybody else holds it, and then a share of ours is lost too."""
        return self._lock(fcntl.LOCK_EX)

    def close(self) -> None:
        """Let go, for good; may be called again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _lock(self, kind: int) -> bool:
        if self._fd is None:
            raise ValueError("the lock is closed")
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@asynccontextmanager
async def alone(path: Path, clock: Clock, *, within_s: float) -> AsyncIterator[None]:
    """Hold the lock on `path` alone. Raises TimeoutError when it is not free within `within_s`."""
    lock = FileLock(path)
    try:
        deadline = clock.boottime() + within_s
        while not lock.take():
            if clock.boottime() > deadline:
                raise TimeoutError(f"{path} is locked by another process for {within_s:.0f} s")
            await clock.sleep(_POLL_S)
        yield
    finally:
        lock.close()
