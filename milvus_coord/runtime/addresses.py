"""The address that others reach this machine by."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import socket
import struct
import threading
from contextlib import suppress
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


async def resolve(host: str) -> tuple[str, ...]:
    """All addresses of `host`, in the resolver's order. Raises OSError when there is none.

    It may take as long as the resolver does, in a thread that nothing waits for.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[str, ...]] = loop.create_future()

    def settle(found: tuple[str, ...], error: OSError | None) -> None:
        if answer.done():  # nobody waits any more
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    def ask() -> None:
        found: tuple[str, ...] = ()
        trouble: OSError | None = None
        try:
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found = tuple(dict.fromkeys(str(info[4][0]) for info in infos))
        except OSError as error:
            trouble = error
        except UnicodeError:  # a label that is too long
            trouble = OSError("it is no host name")
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, found, trouble)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    return await answer
