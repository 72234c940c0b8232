"""What this process runs on, and how much of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Hardware:
    """`cpu_percent` is of the whole machine; memory in bytes, `memory_used` by this process."""

    cpus: int
    cpu_percent: float
    memory: int
    memory_used: int


def look() -> Hardware:
    """Reads /proc and the cgroup: some 0.1 ms. The first `cpu_percent` of a process is 0."""
    return Hardware(
        cpus=len(psutil.Process().cpu_affinity()),
        cpu_percent=psutil.cpu_percent(),
        memory=min(psutil.virtual_memory().total, _cgroup_limit()),
        memory_used=psutil.Process().memory_info().rss,
    )


def _cgroup_limit() -> int:
    """What a container may use at most; no limit where there is none or it cannot be read."""
    try:
        text = _CGROUP_LIMIT.read_text("ascii").strip()
    except OSError:
        text = "max"
    return int(text) if text.isdigit() else 1 << 63
