"""Which process is meant, beyond its number, and the proof that it has ended (Linux)."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from milvus_coord.model.errors import CoordError

_PROC: Final = Path("/proc")
_START_TIME: Final = 22 - 3  # of the fields behind the command's name, the first of which is no. 3
_PID_MAX: Final = 2**31 - 1


class CannotWatch(CoordError):
    """From here nobody can tell when that process ends; the text says why."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process as nobody else is: numbers are used again, but not with the same start time.

    Attributes:
        boot_id: `/proc/sys/kernel/random/boot_id`, of one run of one kernel.
        pid_namespace: inode of `/proc/self/ns/pid`; `pid` means something there only.
        pid: number of the process.
        start_ticks: when it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    """

    boot_id: str
    pid_namespace: int
    pid: int
    start_ticks: int

    @classmethod
    def mine(cls) -> ProcessIdentity | None:
        """Who we are; None where /proc does not tell, or tells of another namespace."""
        pid = os.getpid()
        start_ticks = _start_ticks(pid)
        try:
            if start_ticks is None or os.readlink(_PROC / "self") != str(pid) or _time_is_shifted():
                return None
            boot_id = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
            return cls(boot_id, (_PROC / "self/ns/pid").stat().st_ino, pid, start_ticks)
        except (OSError, ValueError):
            return None

    def fields(self) -> dict[str, object]:
        """For JSON: `{"boot": str, "pidns": int, "pid": int, "start": int}`."""
        return {
            "boot": self.boot_id,
            "pidns": self.pid_namespace,
            "pid": self.pid,
            "start": self.start_ticks,
        }

    @classmethod
    def from_fields(cls, fields: object) -> ProcessIdentity | None:
        """What `fields` has given, as JSON gives it back; None for anything malformed."""
        match fields:
            case {"boot": str(boot), "pidns": int(pidns), "pid": int(pid), "start": int(start)}:
                numbers = (pidns, pid, start)
            case _:
                return None
        if not boot or any(isinstance(number, bool) or number < 0 for number in numbers):
            return None
        # Number 0 would mean a whole process group to the kernel.
        return cls(boot, *numbers) if 0 < pid <= _PID_MAX else None

    def is_here(self) -> bool:
        """Whether its number means the same to us: same kernel, same boot, same pid namespace."""
        here = ProcessIdentity.mine()
        return here is not None and (here.boot_id, here.pid_namespace) == (
            self.boot_id,
            self.pid_namespace,
        )


async def outlive(identity: ProcessIdentity) -> None:
    """Return when that process has certainly ended; at once if it has already.

    Its threads have exited by then, and the files and sockets that it did not share with others
    are closed: it sends nothing more. What it had written before may still be on its way out of the
    kernel's buffers; only a fence keeps that from taking effect.

    Raises CannotWatch for a process of another machine, boot or pid namespace, and where the
    kernel or its filters have no pidfd for us.
    """
    if not identity.is_here():
        raise CannotWatch(f"process {identity.pid} runs on another machine or in another namespace")
    with _pidfd(identity.pid) as descriptor:
        # Asked in this order, a number that is given away later cannot mislead us any more.
        if descriptor is not None and not _is_another(identity):
            await _readable(descriptor)


async def outlive_pid(pid: int, still_it: Callable[[], bool]) -> None:
    """The same for a process of this pid namespace that has left no record of itself.

    `still_it` is asked once, in the running loop, when whatever now has the number `pid` is held
    on to: whether that is certainly the process that was meant. Raises CannotWatch when it is not;
    that one may have ended, or have changed so that it is not recognised any more.
    """
    with _pidfd(pid) as descriptor:
        if descriptor is None:
            return
        if not still_it():
            raise CannotWatch(f"process {pid} is not the one that was meant, or not any more")
        await _readable(descriptor)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def on_readable() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, on_readable)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)


@contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    """Hold on to a process; None when nobody has that number. Raises CannotWatch."""
    descriptor = _open(pid)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(pid: int) -> int | None:
    if pid <= 0:
        raise ValueError(f"{pid} is not the number of a process")
    if not hasattr(os, "pidfd_open"):
        raise CannotWatch("this Python was built without pidfd")
    try:
        return os.pidfd_open(pid)
    except (ProcessLookupError, FileNotFoundError):
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # a mere thread's number; newer kernels say ENOENT
            return None
        raise CannotWatch(f"no pidfd for process {pid}: {error.strerror}") from error


def _is_another(identity: ProcessIdentity) -> bool:
    """Whether the number was given to somebody else meanwhile; False when /proc hides that."""
    start_ticks = _start_ticks(identity.pid)
    return start_ticks is not None and start_ticks != identity.start_ticks


def _start_ticks(pid: int) -> int | None:
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
        # The command's name stands in parentheses, and may itself hold blanks and parentheses.
        return int(text.rpartition(b")")[2].split()[_START_TIME])
    except (OSError, ValueError, IndexError):
        return None


def _time_is_shifted() -> bool:
    """Whether start times in /proc are not those of the rest of the machine (time namespace)."""
    try:
        lines = (_PROC / "self/timens_offsets").read_text("ascii").splitlines()
    except FileNotFoundError:
        return False
    return any(set(line.split()[1:]) != {"0"} for line in lines)
