"""Times and people in words, as all verbs print them."""

from __future__ import annotations

import getpass
import socket
import time
from typing import Final

_STEPS: Final = ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (172_800.0, 3600.0, "h"))


def span(seconds: float) -> str:
    """A length of time: "0.3 s", "12 s", "5 min", "3 h", "4 days"; never below zero."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    for below, unit_s, unit in _STEPS:
        if seconds < below:
            return f"{int(seconds / unit_s)} {unit}"
    return f"{int(seconds / 86_400)} days"


def age(seconds: float) -> str:
    """A span in three characters or so: "2s", "5m", "3h", "4d"."""
    for below, unit_s, unit in ((120.0, 1.0, "s"), (7200.0, 60.0, "m"), (172_800.0, 3600.0, "h")):
        if seconds < below:
            return f"{max(0, int(seconds / unit_s))}{unit}"
    return f"{int(seconds / 86_400)}d"


def millis(ms: float) -> str:
    """Milliseconds of a phase: "0.3", "12"."""
    return f"{ms:.1f}" if 0 < ms < 9.95 else f"{ms:.0f}"


def local_time(unix_ms: int) -> str:
    """Local date and time of day, "2026-11-23 05:38:37"."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_ms / 1000))


def clock_time(unix_ms: int) -> str:
    """Local time of day, "05:38:37"."""
    return time.strftime("%H:%M:%S", time.localtime(unix_ms / 1000))


def myself() -> str:
    """Who asks, "user@host"."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def printable(text: str) -> str:
    """Text of others without what would move a terminal's cursor."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
