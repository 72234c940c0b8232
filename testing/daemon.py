"""A real process under test control: started with a log file, signalled, waited for, measured."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from milvus_coord.runtime.parent_death import killed_with_parent

POLL_S = 0.005


def boottime_s() -> float:
    """CLOCK_BOOTTIME, the clock that processes of one machine share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Daemon:
    """One process that dies with the tests; all its output goes to one file.

    `start` and the signals return at once, the `wait_*` methods let the event loop run. A daemon
    may be started again after its end; the log file goes on.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, folder: Path, env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.folder = folder
        self.log_file = folder / f"{name}.log"
        self.started_at_s = 0.0
        self.argv, self.env = list(argv), dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file.touch()

    def start(self) -> None:
        """Start the process; `started_at_s` is CLOCK_BOOTTIME just before."""
        assert not self.running, f"{self.name} runs already"
        with self.log_file.open("ab") as log:
            self.started_at_s = boottime_s()
            self._process = subprocess.Popen(
                [*killed_with_parent(), *self.argv],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while running or not started; minus the signal's number when killed by one."""
        return self._process.poll() if self._process is not None else None

    def rss_bytes(self) -> int:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def terminate(self) -> None:
        """SIGTERM."""
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: the sockets stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT; harmless when not paused."""
        if self.running:
            self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill -9 and reap, also when it never started, has ended or is paused."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait()

    async def wait_exit(self, within_s: float = 10.0) -> int:
        """The exit code once the process has ended."""
        deadline = time.monotonic() + within_s
        while self.running:
            assert time.monotonic() < deadline, f"{self.name} runs on after {within_s} s"
            await asyncio.sleep(POLL_S)
        assert self.exit_code is not None, f"{self.name} is not started"
        return self.exit_code

    async def stop(self, within_s: float = 10.0) -> int:
        """SIGTERM, and the exit code; kill -9 when it takes longer."""
        self.resume()
        if self.running:
            self.terminate()
        try:
            return await self.wait_exit(within_s)
        finally:
            self.kill()

    def log_size(self) -> int:
        """Where a later `wait_line(after=...)` starts to look for new lines only."""
        return self.log_file.stat().st_size

    def lines(self, regex: str, *, after: int = 0) -> list[str]:
        """The log lines in which `regex` is found, from byte `after` on."""
        pattern = re.compile(regex)
        with self.log_file.open("rb") as log:
            log.seek(after)
            text = log.read().decode(errors="replace")
        return [line for line in text.splitlines() if pattern.search(line)]

    async def wait_line(self, regex: str, within_s: float = 10.0, *, after: int = 0) -> str:
        """The first log line in which `regex` is found."""
        deadline = time.monotonic() + within_s
        while True:
            alive = self.running
            if found := self.lines(regex, after=after):
                return found[0]
            self.check(alive, f"ended without a line like {regex!r}")
            self.check(time.monotonic() < deadline, f"no line like {regex!r} in {within_s} s")
            await asyncio.sleep(POLL_S)

    def check(self, condition: bool, trouble: str) -> None:
        """Raise AssertionError with the trouble and the log's end, unless `condition` holds."""
        if not condition:
            tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])
            raise AssertionError(f"{self.name} {trouble} (exit code {self.exit_code})\n{tail}")

    def _signal(self, number: signal.Signals) -> None:
        self.check(self.running, f"is not there to get {number.name}")
        os.kill(self.pid, number)


class RoleDaemon(Daemon):
    """A process that runs one coordinator role, ours or Go's, under the words they share.

    Attributes:
        address: `127.0.0.1:port` of its gRPC service.
        metrics_port: of its management HTTP service.
    """

    role: str
    address: str
    port: int
    metrics_port: int

    async def wait_active(self, within_s: float = 20.0) -> None:
        """Until it leads and serves."""
        raise NotImplementedError

    async def wait_standby(self, within_s: float = 20.0) -> None:
        """Until it is registered beside an active one and ready to follow it."""
        raise NotImplementedError
