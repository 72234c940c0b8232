"""A wall clock for one process that the test sets: a library to preload, and a file to turn it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

from tests.rig.coordinator import Coordinator
from tests.rig.extras import set_env

_NANOSECONDS: Final = struct.Struct("=q")
_SOURCE: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static const volatile long long *ahead_ns;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WRONG_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    real = dlsym(RTLD_NEXT, "clock_gettime");
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof *ahead_ns, PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) ahead_ns = shared;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, now);
    if (!failed && ahead_ns && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        long long total = now->tv_sec * 1000000000LL + now->tv_nsec + *ahead_ns;
        now->tv_sec = total / 1000000000LL;
        now->tv_nsec = total % 1000000000LL;
    }
    return failed;
}
"""


def can_compile() -> bool:
    """Whether there is a C compiler."""
    return shutil.which("cc") is not None


def compile_library(folder: Path) -> Path:
    """The library, which needs `WRONG_CLOCK_FILE` in the environment to do anything."""
    source, library = folder / "wrong_clock.c", folder / "wrong_clock.so"
    source.write_text(_SOURCE)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


class WrongClock:
    """The wall clock of one coordinator, to be made before it starts; right at first."""

    def __init__(self, coordinator: Coordinator, library: Path) -> None:
        self._file = coordinator.folder / "clock"
        self.ahead_s(0)
        set_env(coordinator, LD_PRELOAD=str(library), WRONG_CLOCK_FILE=str(self._file))

    def ahead_s(self, seconds: float) -> None:
        """From now on it is so far ahead of the machine's clock, behind when negative."""
        data = _NANOSECONDS.pack(round(seconds * 1e9))
        if self._file.exists():
            with self._file.open("r+b") as file:
                file.write(data)
        else:
            self._file.write_bytes(data)
