"""What a process finds around itself at its start, put right before anything depends on it."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import Final

_HARMLESS: Final = (
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF),
    *(signal.SIGIO, signal.SIGPWR, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGPIPE),
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)
"""Their default is to kill; Go's runtime drops them, of the real-time ones those from 35 up."""

_FILES_MAX: Final = 1 << 20


def settle() -> list[str]:
    """Put right what can be, and return a warning for what a person should mend.

    Closed descriptors 0, 1 and 2 are opened on /dev/null, or the first sockets would get their
    numbers. A time zone that no clock has becomes UTC.
    """
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return _settle_time_zone()


def settle_daemon() -> None:
    """What a daemon needs besides: open files, and no end by signals that mean nothing."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = _FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, _FILES_MAX)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in (*_HARMLESS, signal.SIGHUP):  # which reloads once there is something to reload
        if signal.getsignal(number) is not signal.SIG_DFL:
            continue  # a debugger's, say
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)


def _open_standard_streams() -> None:
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for the whole life
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _settle_time_zone() -> list[str]:
    try:
        local = time.localtime()
        datetime.now().astimezone().isoformat()
        (local.tm_zone or "").encode()
    except (ValueError, OverflowError, OSError):
        wrong = os.environ.get("TZ", "")
        os.environ["TZ"] = "UTC"
        time.tzset()
        return [f"TZ={wrong!r} is no time zone, times are in UTC"]
    return []
