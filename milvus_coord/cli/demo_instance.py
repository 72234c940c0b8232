"""One rootcoord process of the demo."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import milvus_coord
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.parent_death import killed_with_parent
from milvus_coord.runtime.ports import free_ports

SESSION_TTL_S: Final = 3
SERVE_LEASE_S: Final = 1

_READY_S: Final = 30.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.02
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
_STAMP: Final = re.compile(r"\[\S+ (\S+) \S+\] ")


class DemoFailed(Exception):
    """The demo cannot go on; the text is for the one who watches."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What `GET /role` says: `position` is active, standby or neither."""

    position: str
    server_id: int
    epoch: int


def demo_env() -> dict[str, str]:
    """The environment of all that the demo starts: no setting of ours comes from without."""
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    return kept | {"PYTHONPATH": str(Path(milvus_coord.__file__).parents[1])}


class Instance:
    """A rootcoord that takes part in the election; dies with us, may be started again and again.

    Attributes:
        address: `127.0.0.1:port` of its gRPC service.
        metrics_port: of its management service.
        log_file: what it prints, of all its lives.
    """

    def __init__(self, name: str, folder: Path, etcd: str, clock: Clock) -> None:
        port, self.metrics_port = free_ports(2)
        self.name, self.address = name, f"127.0.0.1:{port}"
        self.log_file = folder / f"{name}.log"
        self._folder, self._clock = folder, clock
        self._process: asyncio.subprocess.Process | None = None
        self._env = demo_env() | {
            "ETCD_ENDPOINTS": etcd,
            "ROOT_COORD_ADDRESS": self.address,
            "ROOT_COORD_PORT": str(port),
            "METRICS_PORT": str(self.metrics_port),
            "ROOT_COORD_ENABLE_ACTIVE_STANDBY": "true",
            "COMMON_SESSION_TTL": str(SESSION_TTL_S),
            "HA_SERVE_LEASE": str(SERVE_LEASE_S * 1000),
            "MQ_TYPE": "memory",
        }

    @property
    def pid(self) -> int:
        """Of the process started last."""
        return self._started.pid

    async def start(self) -> None:
        """Start the process, in a session of its own: Ctrl-C is ours to handle."""
        command = (sys.executable, "-m", "milvus_coord", "run", "rootcoord")
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *killed_with_parent(),
                *command,
                cwd=self._folder,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def becomes(self, position: str) -> Standing:
        """Wait for it. Raises DemoFailed when it ends instead or takes too long."""
        deadline = self._clock.boottime() + _READY_S
        while True:
            standing = await self.standing()
            if standing is not None and standing.position == position:
                return standing
            if self._started.returncode is not None:
                raise self.failed(f"ended with code {self._started.returncode}")
            if self._clock.boottime() > deadline:
                raise self.failed(f"is not {position} after {_READY_S:.0f} s")
            await self._clock.sleep(_POLL_S)

    async def standing(self) -> Standing | None:
        """None while its management port does not answer."""
        try:
            return await asyncio.to_thread(_ask, self.metrics_port)
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return None

    async def ended(self) -> int:
        """Wait for its exit code; minus the signal's number when killed by one."""
        return await self._started.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self._started.returncode is None:
            self._started.send_signal(number)

    async def stop(self) -> None:
        """SIGTERM, SIGKILL after ten seconds; nothing if it was never started."""
        if self._process is None:
            return
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await self.ended()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()

    def log_size(self) -> int:
        """Where the lines to come will begin."""
        return self.log_file.stat().st_size

    def lines(self, *, after: int, with_any_of: Iterable[str]) -> list[str]:
        """Its log lines behind byte `after` that hold one of the phrases; the time of day first."""
        with self.log_file.open("rb") as log:
            log.seek(after)
            text = log.read().decode(errors="replace")
        return [
            _STAMP.sub(r"\1 ", line, count=1)
            for line in text.splitlines()
            if any(phrase in line for phrase in with_any_of)
        ]

    def failed(self, trouble: str) -> DemoFailed:
        """What happened to it, and the end of its log."""
        tail = self.log_file.read_text(errors="replace").splitlines()[-10:]
        return DemoFailed("\n  ".join([f"rootcoord {self.name} {trouble}; its last lines:", *tail]))

    @property
    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ValueError(f"rootcoord {self.name} is not started")
        return self._process


def _ask(metrics_port: int) -> Standing:
    connection = http.client.HTTPConnection("127.0.0.1", metrics_port, timeout=1)
    try:
        connection.request("GET", "/role")
        body = json.loads(connection.getresponse().read())
        return Standing(body["position"], body["server_id"], body["epoch"])
    finally:
        connection.close()
