"""One etcd process of this machine: started, found again, asked, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from milvus_coord.etcd.embedded.datadir import DataDir
from milvus_coord.runtime.clock import Clock

STOP_S: Final = 10.0
_KILL_S: Final = 2.0
_POLL_S: Final = 0.02
_ASK_S: Final = 1.0
_LISTEN: Final = "0A"

# The process notes its own pid before it becomes etcd: its starter may die at any moment.
_ENTER: Final = 'cd "$1" && echo $$ >"$2" && shift 2 && exec "$@"'
# etcd would take Milvus' ETCD_* for settings of its own, and tell our service manager it is ready.
_NOT_FOR_ETCD: Final = re.compile(r"ETCD_(?!UNSUPPORTED_ARCH)|NOTIFY_SOCKET|WATCHDOG_|LISTEN_")
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


class EtcdServer:
    """A process that was seen to be the etcd of `data_dir`, held by a pidfd.

    Signals reach this process or none: its pid may be given to another, its pidfd may not.
    """

    def __init__(self, data_dir: DataDir, pid: int) -> None:
        self.data_dir, self.pid = data_dir, pid
        self.pidfd = os.pidfd_open(pid)

    def __repr__(self) -> str:
        return f"<EtcdServer pid={self.pid} {self.data_dir.path}>"

    @classmethod
    def find(cls, data_dir: DataDir) -> Self | None:
        """The one that works in `data_dir` now, no matter who started it."""
        try:
            server = cls(data_dir, int(data_dir.pid_file.read_text()))
        except (OSError, ValueError, OverflowError):
            return None
        if server.alive and _is_etcd_of(data_dir, server.pid):
            return server
        server.close()
        return None

    @classmethod
    def spawn(
        cls, data_dir: DataDir, binary: Path, log_file: Path, launcher: Sequence[str] = ()
    ) -> Self:
        """Start etcd by `data_dir.config_file`, in a session of its own. Raises OSError.

        It is no one's business but its users': it lives on when the caller is killed, unless
        `launcher`, the beginning of its command line, sees to the contrary.
        """
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log, Path(os.devnull).open("rb") as nothing:
            where = (str(data_dir.path), str(data_dir.pid_file))
            pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", _ENTER, "sh", *where, *launcher, str(binary), _argument(data_dir)],
                {name: text for name, text in os.environ.items() if not _NOT_FOR_ETCD.match(name)},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ),
            )
        return cls(data_dir, pid)

    @property
    def alive(self) -> bool:
        """Whether it runs; one that has ended is reaped."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(0):
            return True
        self.reap()
        return False

    def reap(self) -> None:
        """Let the kernel forget an ended one; it is our child only if we started it."""
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)

    async def version(self, endpoint: str) -> str | None:
        """Its version, "3.5.1", once it serves clients at `endpoint` and has a leader.

        None while it does not, also when another process listens there.
        """
        port = int(endpoint.rpartition(":")[2])
        if not await asyncio.to_thread(_listens, self.pid, port):
            return None
        try:
            async with asyncio.timeout(_ASK_S):
                # NOSPACE is for its users to deal with.
                health = await _get(endpoint, "/health?exclude=NOSPACE")
                if str(json.loads(health).get("health")).lower() != "true":
                    return None
                return str(json.loads(await _get(endpoint, "/version")).get("etcdserver"))
        except (OSError, TimeoutError, ValueError, AttributeError):
            return None

    def kill(self) -> None:
        """SIGKILL; no harm to what it has acknowledged."""
        self._signal(signal.SIGKILL)

    async def stop(self, clock: Clock) -> bool:
        """SIGTERM, SIGKILL after ten seconds; False when it outlives even that."""
        self._signal(signal.SIGTERM)
        if await self._ended(clock, STOP_S):
            return True
        self.kill()
        return await self._ended(clock, _KILL_S)

    def close(self) -> None:
        """Let go of the pidfd, not of the process."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    async def _ended(self, clock: Clock, within_s: float) -> bool:
        deadline = clock.boottime() + within_s
        while self.alive:
            if clock.boottime() > deadline:
                return False
            await clock.sleep(_POLL_S)
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)


def _argument(data_dir: DataDir) -> str:
    return f"--config-file={data_dir.config_file}"


def _is_etcd_of(data_dir: DataDir, pid: int) -> bool:
    """Whether the command line of `pid` names the configuration of `data_dir`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(_argument(data_dir)) in words


def _listens(pid: int, port: int) -> bool:
    """Whether a TCP socket of `pid` listens on `port`."""
    try:
        links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return False
    owned = {found[1] for link in links if (found := _SOCKET.fullmatch(link))}
    for row in (line.split() for table in tables for line in table.splitlines()[1:]):
        address, state, inode = row[1], row[3], row[9]
        if state == _LISTEN and int(address.rpartition(":")[2], 16) == port and inode in owned:
            return True
    return False


async def _get(endpoint: str, path: str) -> bytes:
    """The body of an HTTP answer, whatever its status."""
    host, _, port = endpoint.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {endpoint}\r\n\r\n".encode())
        return (await reader.read()).partition(b"\r\n\r\n")[2]
    finally:
        writer.close()
