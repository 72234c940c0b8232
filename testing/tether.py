"""Child processes that cannot outlive the test process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_LAUNCHER = """
import ctypes, os, sys
PR_SET_PDEATHSIG, SIGKILL = 1, 9
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
if os.getppid() not in (int(sys.argv[1]), 0):  # 0: it is outside of our process namespace
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def tethered(argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` (first item: an absolute path) and dies with the caller.

    The kernel kills the child when the thread that started it ends, so start it from the main
    thread. The pid stays the same (exec), and no `preexec_fn` forks a process full of gRPC threads.
    """
    return [sys.executable, "-ISc", _LAUNCHER, str(os.getpid()), *argv]
