"""The address that others reach this machine by."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from typing import Final

_SIOCGIFADDR: Final = 0x8915
LOOPBACK: Final = "127.0.0.1"


def first_ipv4() -> str | None:
    """The first IPv4 address that is no loopback, in the order of the interfaces (as Go 2.2.16).

    None on a machine that has none, where Go 2.2.16 panics.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name[:15].encode()))
            except OSError:
                continue
            address = ipaddress.IPv4Address(answer[20:24])
            if not address.is_loopback:
                return str(address)
    return None
