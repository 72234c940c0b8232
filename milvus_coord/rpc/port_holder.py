"""Which process holds a TCP port or an address of this machine, as far as /proc tells."""

from __future__ import annotations

import io
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import takewhile
from pathlib import Path
from typing import Final, TypeAlias

import psutil

from milvus_coord.runtime.processes import ProcessIdentity

Ip: TypeAlias = IPv4Address | IPv6Address

_PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
_TABLES: Final = ("net/tcp", "net/tcp6")
_LINE_BYTES: Final = 150
_COMMAND_CHARS_MAX: Final = 120


@dataclass(frozen=True, slots=True)
class _Socket:
    """A line of the kernel's table: `bound` is its local address, `state` is hexadecimal."""

    bound: Ip
    port: int
    state: str
    inode: str


@dataclass(frozen=True, slots=True)
class PortHolder:
    """A process with a socket on the port; `listening` is False for a mere connection from it."""

    pid: int
    command: str
    listening: bool

    def __str__(self) -> str:
        how = "process" if self.listening else "an outgoing connection of process"
        return f"{how} {self.pid} ({self.command})"


def find_holder(port: int, proc: Path = _PROC) -> PortHolder | None:
    """The process that listens on local TCP `port`, else one with any socket there.

    Sees this network namespace and the processes whose descriptors we may read; None otherwise.
    A socket that is bound but neither listening nor connected is in none of the tables.
    """
    listening: set[str] = set()
    connected: set[str] = set()
    for table in _TABLES:
        for sock in _sockets(proc / table):
            if sock.port == port and sock.inode != "0":
                (listening if sock.state == _LISTEN else connected).add(sock.inode)
    for inodes in (listening, connected):
        if inodes and (pid := next(_owners(inodes, proc), None)) is not None:
            return PortHolder(pid, _command_of(pid, proc), inodes is listening)
    return None


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
        # They come first, and no line behind them is asked for: the kernel looks for those in its
        # whole table of connections, which may take it 20 ms.
        for sock in takewhile(lambda each: each.state == _LISTEN, _sockets(proc / table)):
            if sock.port == port and _serves(sock.bound, ip):
                inodes.add(sock.inode)
    return inodes


def _sockets(table: Path) -> Iterator[_Socket]:
    """The sockets of one table, read as they are asked for; none where it cannot be read."""
    try:
        file = table.open("rb", buffering=0)
    except OSError:
        return
    with file:
        lines = _lines(file)
        next(lines, None)
        for line in lines:
            fields = line.split()
            if len(fields) > 9:
                host, _, port = fields[1].partition(":")
                yield _Socket(_bound_to(host), int(port, 16), fields[3], fields[9])


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
    if not inodes:
        return None
    owners = list(_owners(inodes, proc))
    return owners[0] if len(owners) == 1 and inodes <= _sockets_of(owners[0], proc) else None


def _owners(inodes: set[str], proc: Path) -> Iterator[int]:
    """Each process that holds one of these sockets."""
    for name in os.listdir(proc):
        if name.isdigit() and _sockets_of(int(name), proc) & inodes:
            yield int(name)


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


def _command_of(pid: int, proc: Path) -> str:
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "command unknown"
    command = b" ".join(words).decode(errors="replace").strip() or "command unknown"
    return command[:_COMMAND_CHARS_MAX]
