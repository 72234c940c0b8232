"""A broker on the Java virtual machine, as scripts/ starts it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import ClassVar, Final

import pytest

from testing.daemon import Daemon

BROKER_ENV: Final = {
    name: os.environ[name]
    for name in ("PATH", "HOME", "JAVA_HOME", "XDG_CACHE_HOME")
    if name in os.environ
}
_POLL_S: Final = 0.05


class JvmBroker(Daemon):
    """Clients connect to `ports[0]`."""

    script: ClassVar[Path]
    ports: tuple[int, ...]

    @classmethod
    def skip_unless_there(cls) -> None:
        """Skip the test, with what to do, where Java or the broker's jars are missing."""
        check = [str(cls.script), "--check"]
        done = subprocess.run(check, capture_output=True, text=True, check=False, env=BROKER_ENV)
        if done.returncode != 0:
            pytest.skip(done.stderr.strip())

    def serve(self, within_s: float = 90.0) -> None:
        """Start, and wait until it serves."""
        self.start()
        deadline = time.monotonic() + within_s
        while not self.serves():
            self.check(self.running, "ended")
            self.check(time.monotonic() < deadline, f"does not serve after {within_s} s")
            time.sleep(_POLL_S)

    async def start_again(self, within_s: float = 60.0) -> None:
        """As `serve`, while the event loop runs on."""
        self.start()
        deadline = time.monotonic() + within_s
        while not await asyncio.to_thread(self.serves):
            self.check(self.running, "ended")
            self.check(time.monotonic() < deadline, f"does not serve after {within_s} s")
            await asyncio.sleep(_POLL_S)

    def serves(self) -> bool:
        """Whether its port takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.ports[0]), timeout=1).close()
        except OSError:
            return False
        return True

    def end(self) -> None:
        """SIGTERM, and -9 when that does not do within twenty seconds."""
        if self.running:
            self.resume()
            self.terminate()
            deadline = time.monotonic() + 20
            while self.exit_code is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        self.kill()
