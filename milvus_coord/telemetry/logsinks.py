"""Where finished log lines go: standard output, without ever stopping the process for it."""

from __future__ import annotations

import os
import select
import sys
from typing import Final, Protocol

_CHUNK_BYTES: Final = 4096  # what a pipe or socket that polls writable takes without blocking


class LineSink(Protocol):
    """Takes whole lines; `write` never raises for trouble of the outer world."""

    def write(self, line: str) -> bool:
        """Write `line`, which ends in a newline; False says it is lost."""

    def reopen(self) -> None:
        """Open the file anew by its name, where there is one. Raises OSError."""

    def close(self) -> None:
        """Let go of it for good; lines written after that are lost."""


class StdoutSink:
    """Standard output by its descriptor.

    A reader that is gone, full or stalled costs lines, never the process: a line waits at most
    `patience_ms` for its reader, and after one has waited in vain the next ones do not wait.
    """

    def __init__(self, *, patience_ms: int = 100) -> None:
        self._full_patience_ms = self._patience_ms = patience_ms
        self._torn = False

    def write(self, line: str) -> bool:
        stream = sys.stdout
        if stream is None:
            return True
        replaced = stream is not sys.__stdout__  # by a test, for one
        try:
            if replaced:
                stream.write(line)
                stream.flush()
                return True
            start = "\n" if self._torn else ""
            taken = self._put(stream.fileno(), f"{start}{line}".encode("utf-8", "replace"))
        except (OSError, ValueError):
            taken = False
        self._patience_ms = self._full_patience_ms if taken else 0
        return taken

    def reopen(self) -> None:
        """Nothing to open: the descriptor is inherited."""

    def close(self) -> None:
        """Nothing to close: others print there too."""

    def _put(self, fd: int, data: bytes) -> bool:
        poller = select.poll()
        poller.register(fd, select.POLLOUT)
        sent = 0
        while sent < len(data) and poller.poll(self._patience_ms):
            try:
                sent += os.write(fd, data[sent : sent + _CHUNK_BYTES])
            except BlockingIOError:
                break
        if sent:
            self._torn = sent < len(data)
        return sent == len(data)
