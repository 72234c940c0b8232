"""Which process holds a TCP port, as far as /proc tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_COMMAND_CHARS_MAX: Final = 120


@dataclass(frozen=True, slots=True)
class PortHolder:
    """A process with a socket on the port; `listening` is False for a mere connection from it."""

    pid: int
    command: str
    listening: bool

    def __str__(self) -> str:
        how = "process" if self.listening else "an outgoing connection of process"
        return f"{how} {self.pid} ({self.command})"


def find_holder(port: int, proc: Path = Path("/proc")) -> PortHolder | None:
    """The process that listens on local TCP `port`, else one with any socket there.

    Sees this network namespace and the processes whose descriptors we may read; None otherwise.
    A socket that is bound but neither listening nor connected is in none of the tables.
    """
    listening: set[str] = set()
    connected: set[str] = set()
    for state, inode in _sockets_on(port, proc):
        (listening if state == _LISTEN else connected).add(inode)
    for inodes in (listening, connected):
        if inodes and (pid := _owner_of(inodes, proc)) is not None:
            return PortHolder(pid, _command_of(pid, proc), inodes is listening)
    return None


def _sockets_on(port: int, proc: Path) -> Iterator[tuple[str, str]]:
    """State (hexadecimal) and inode of each TCP socket whose local port is `port`."""
    wanted = f":{port:04X}"
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[1].endswith(wanted) and fields[9] != "0":
                yield fields[3], fields[9]


def _owner_of(inodes: set[str], proc: Path) -> int | None:
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in links:
                    return int(process.name)
        except OSError:
            continue  # gone meanwhile, or another user's
    return None


def _command_of(pid: int, proc: Path) -> str:
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "command unknown"
    command = b" ".join(words).decode(errors="replace").strip() or "command unknown"
    return command[:_COMMAND_CHARS_MAX]
