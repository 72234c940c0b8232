"""Memory in huge pages, which the kernel frees at once when the process is killed.

The connections of a dead process are closed only when its memory has been freed, page by page:
14 ms for 600 MB in pages of 4 KiB, 5 ms in pages of 2 MiB. So long nobody hears of the death.
"""

from __future__ import annotations

import ctypes
from typing import Final

import psutil

_HUGE: Final = 2 << 20
_MADV_COLLAPSE: Final = 25
"""Since Linux 6.1; other kernels refuse it. Huge pages need not be enabled for it."""

_FILLED: Final = 0.9
"""What is nearly empty, as the stack of a thread is, would take memory that nobody uses."""


def collapse() -> int:
    """Move what this process holds into huge pages; returns how many bytes lie in them now.

    About a second for 500 MB, some milliseconds for what was moved before: call it in a thread,
    the others go on meanwhile. Where the kernel cannot do it, nothing is moved.
    """
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    moved = 0
    try:
        regions = psutil.Process().memory_maps(grouped=False)
    except (AttributeError, OSError, ValueError, psutil.Error):  # a system that tells less
        return 0
    for region in regions:
        if region.path in ("[anon]", "[heap]") and region.perms.startswith("rw-p"):
            start, end = (int(each, 16) for each in region.addr.split("-"))
            first, last = -(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE
            if region.rss >= _FILLED * (end - start):
                # One page a call: during a long one other threads would wait for their memory.
                for page in range(first, last, _HUGE):
                    moved += _HUGE if madvise(page, _HUGE, _MADV_COLLAPSE) == 0 else 0
    return moved


def resident_bytes() -> int:
    """How much memory this process holds; 0 where that is not to be had, for want of files too."""
    try:
        return psutil.Process().memory_info().rss
    except (OSError, psutil.Error):
        return 0
