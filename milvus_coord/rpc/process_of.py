"""The process behind an address of this machine, by the socket that listens there."""

from __future__ import annotations

import io
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, TypeAlias

import psutil

from milvus_coord.runtime.processes import ProcessIdentity

Ip: TypeAlias = IPv4Address | IPv6Address

_PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
_TABLES: Final = ("net/tcp", "net/tcp6")
_LINE_BYTES: Final = 150


def listener_of(address: str, *, program: str | None = None) -> int | None:
    """The process that listens on `address` (`ip:port`, `[ip]:port`), an address of this machine.

    None when the address is not of this network namespace, nobody listens there, or there is any
    doubt: several processes share the socket, several sockets could be meant, or one belongs to a
    process that we may not look into. Looks at every process: some milliseconds, for a thread.

    Args:
        address: where; a host name is not looked up.
        program: only a process whose program has this name, such as `milvus`: one that only
            forwards the port (docker-proxy) can end while what it forwards to lives.
    """
    place = _own_place(address)
    if place is None or ProcessIdentity.mine() is None:  # /proc tells of somebody else's processes
        return None
    inodes = _listening_on(*place, _PROC)
    pid = _only_owner(inodes, _PROC)
    if pid is None or (program is not None and _program_of(pid) != program):
        return None
    return pid


def listens(pid: int, address: str) -> bool:
    """Whether process `pid` certainly listens on `address`; looks at that process alone.

    What `runtime.processes.outlive_pid` wants to know; takes a few milliseconds at most.
    """
    place = _place(address)
    if place is None:
        return False
    return bool(_sockets_of(pid, _PROC) & _listening_on(*place, _PROC))


def _own_place(address: str) -> tuple[Ip, int] | None:
    place = _place(address)
    return place if place is not None and _is_ours(place[0]) else None


def _place(address: str) -> tuple[Ip, int] | None:
    host, _, port = address.rpartition(":")
    try:
        return _plain(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        return None


def _is_ours(ip: Ip) -> bool:
    return ip.is_loopback or ip in set(_interface_addresses())


def _interface_addresses() -> Iterator[Ip]:
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                yield _plain(ipaddress.ip_address(entry.address.partition("%")[0]))


def _plain(ip: Ip) -> Ip:
    """IPv4 also where it is written as IPv6 (`::ffff:10.0.0.1`)."""
    return getattr(ip, "ipv4_mapped", None) or ip


def _listening_on(ip: Ip, port: int, proc: Path) -> set[str]:
    """Inodes of the listening sockets that could be given a connection to `ip`:`port`."""
    inodes = set()
    for table in _TABLES:
        for fields in _listeners(proc / table):
            host, _, number = fields[1].partition(":")
            if int(number, 16) == port and _serves(_bound_to(host), ip):
                inodes.add(fields[9])
    return inodes


def _listeners(table: Path) -> Iterator[list[str]]:
    """Lines of listening sockets. They come first, and no line behind them is asked for.

    The kernel looks for those in its whole table of connections, which may take it 20 ms.
    """
    try:
        file = table.open("rb", buffering=0)
    except OSError:
        return
    with file:
        lines = _lines(file)
        next(lines, None)
        for line in lines:
            fields = line.split()
            if len(fields) <= 9 or fields[3] != _LISTEN:
                return
            yield fields


def _lines(file: io.FileIO) -> Iterator[str]:
    rest = b""
    while piece := file.read(_LINE_BYTES):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode("ascii")


def _serves(bound: Ip, ip: Ip) -> bool:
    # An IPv6 socket on `::` takes IPv4 as well, unless it was told not to, which /proc hides.
    return _plain(bound) == ip or (bound.is_unspecified and bound.version >= ip.version)


def _bound_to(words: str) -> Ip:
    """The kernel writes an address as 32 bit words in the machine's own byte order."""
    raw = b"".join(
        struct.pack("=I", int(words[start : start + 8], 16)) for start in range(0, len(words), 8)
    )
    return ipaddress.ip_address(raw)


def _only_owner(inodes: set[str], proc: Path) -> int | None:
    """The one process that holds all of these sockets, and with nobody else."""
    missing, owners = set(inodes), set()
    if not inodes:
        return None
    for name in os.listdir(proc):
        if name.isdigit() and (held := _sockets_of(int(name), proc) & inodes):
            owners.add(int(name))
            missing -= held
    return owners.pop() if len(owners) == 1 and not missing else None


def _sockets_of(pid: int, proc: Path) -> set[str]:
    """Inodes of the sockets of a process; empty when it is gone, or another user's."""
    folder = f"{proc}/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return set()
    inodes = set()
    for descriptor in descriptors:
        try:
            link = os.readlink(f"{folder}/{descriptor}")
        except OSError:  # closed meanwhile
            continue
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    return inodes


def _program_of(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().rstrip("\n")
    except OSError:
        return ""
