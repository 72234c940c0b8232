"""Free loopback ports, of a range that no other test process hands out at the same time."""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from milvus_coord.runtime.ports import is_free

# A stopped server's port must stay free for its restart: ports that the kernel hands to outgoing
# connections (32768 and up) are taken by others, or by a client that connects to itself.
_FIRST: Final = 15_000
_BLOCKS: Final = 170
_BLOCK_SIZE: Final = 100


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on now.

    A port comes round again after about a hundred others.
    """
    return list(itertools.islice(filter(is_free, _ports()), count))


@functools.cache
def _ports() -> Iterator[int]:
    first = _FIRST + _claim_block() * _BLOCK_SIZE
    return itertools.cycle(range(first, first + _BLOCK_SIZE))


def _claim_block() -> int:
    """The number of a block of ports that is ours until this process ends."""
    directory = Path(tempfile.gettempdir()) / "milvus-coord-test-ports"
    directory.mkdir(exist_ok=True)
    for block in random.SystemRandom().sample(range(_BLOCKS), _BLOCKS):
        claim = os.open(directory / str(block), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(claim)
        else:
            return block
    raise RuntimeError(f"all blocks of ports are claimed in {directory}")
