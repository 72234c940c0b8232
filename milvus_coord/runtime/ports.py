"""Free TCP ports of the loopback interface."""

from __future__ import annotations

import random
import socket
from typing import Final

# Below the ports that the kernel gives to outgoing connections: when its server has ended, a client
# that dials such a port again and again may be given it itself, and then talks to itself.
_RANGE: Final = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody has bound on 127.0.0.1 now. Raises OSError."""
    found: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports of 127.0.0.1 in {_RANGE.start}-{_RANGE.stop - 1}")


def is_free(port: int) -> bool:
    """Whether a server could bind it on 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
