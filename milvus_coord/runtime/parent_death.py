"""Command lines whose process cannot outlive the one that starts it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

# 1 is PR_SET_PDEATHSIG. If the parent died before that call, nobody would send the signal. Its pid
# is 0 where it runs outside of our process namespace.
_LAUNCHER: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[2]))
if os.getppid() not in (int(sys.argv[1]), 0):
    os._exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""


def killed_with_parent(number: int = signal.SIGKILL) -> tuple[str, ...]:
    """What to put before a command (an absolute path first): it gets signal `number` at our death.

    Ours is that of the calling thread: start the process from the main thread. The command keeps
    the pid of the process that is started, and needs no `preexec_fn`.
    """
    return (sys.executable, "-ISc", _LAUNCHER, str(os.getpid()), str(number))
