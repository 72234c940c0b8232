"""Free loopback ports below the kernel's range for outgoing connections."""

from __future__ import annotations

import random
import socket

# A stopped server's port must stay free for its restart: ports that the kernel hands to outgoing
# connections (32768 and up) are taken by others, or by a client that connects to itself.
_FIRST, _LAST = 15_000, 32_000


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on now."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(_FIRST, _LAST)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
