"""Our own coordinator as users run it: `python -m milvus_coord run <role>` in its own process."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from testing.daemon import POLL_S, RoleDaemon
from testing.ports import free_ports

ACTIVE: Final = 200
STANDBY: Final = 429
_ROOT: Final = Path(__file__).parents[1]
_QUEUES: Final = frozenset({"MQ_TYPE", "KAFKA_BROKER_LIST", "PULSAR_ADDRESS"})
_PREFIXES: Final = {
    "rootcoord": "ROOT_COORD",
    "datacoord": "DATA_COORD",
    "querycoord": "QUERY_COORD",
    "indexcoord": "INDEX_COORD",
    "tinycoord": "INDEX_COORD",
}


NEVER_EARLY: Final = {"HA_EARLY_REPLACEMENTS_PER_MINUTE": "0"}
"""For tests of other things: a machine with too much to do must not look like an active that hangs.

The scenarios in `tests/rig` are those that test it.
"""


class OurRole(RoleDaemon):
    """One coordinator process of ours, in active-standby mode, reachable on loopback only.

    Args:
        etcd_endpoints: `host:port` of each etcd member.
        port, metrics_port: free ones are taken when 0.
        session_ttl_s: `common.session.ttl`.
        module: whose `main` is the command.
        env: more environment, over what is set here; without an address of a queue in it, the
            queue is in memory.
    """

    def __init__(
        self,
        role: str,
        *,
        etcd_endpoints: Sequence[str],
        folder: Path,
        port: int = 0,
        metrics_port: int = 0,
        session_ttl_s: int = 5,
        module: str = "milvus_coord",
        env: Mapping[str, str] | None = None,
    ) -> None:
        free = free_ports(2)
        self.role = role
        self.port, self.metrics_port = port or free[0], metrics_port or free[1]
        self.address = f"127.0.0.1:{self.port}"
        prefix = _PREFIXES[role]
        queue = {} if env and not _QUEUES.isdisjoint(env) else {"MQ_TYPE": "memory"}
        super().__init__(
            f"our-{role}-{self.port}",
            [sys.executable, "-m", module, "run", role],
            folder=folder,
            env={
                "PATH": os.environ.get("PATH", ""),
                "PYTHONPATH": str(_ROOT),
                "ETCD_ENDPOINTS": ",".join(etcd_endpoints),
                "METRICS_PORT": str(self.metrics_port),
                "COMMON_SESSION_TTL": str(session_ttl_s),
                f"{prefix}_ADDRESS": self.address,
                f"{prefix}_PORT": str(self.port),
                f"{prefix}_ENABLE_ACTIVE_STANDBY": "true",
                **queue,
                **(env or {}),
            },
        )

    async def http(self, path: str, *, timeout_s: float = 10.0) -> tuple[int, str]:
        """Status and body of a GET on the management port. Raises OSError or TimeoutError."""
        async with asyncio.timeout(timeout_s):
            host = self.address.rpartition(":")[0]
            reader, writer = await asyncio.open_connection(host, self.metrics_port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
        if not head:
            raise ConnectionResetError(f"no answer to GET {path}")
        return int(head.split(maxsplit=2)[1]), body.decode()

    async def standing(self) -> int | None:
        """Status of GET /role: 200 active, 429 standby, 503 neither; None without an answer."""
        return await self._status("/role")

    async def _status(self, path: str) -> int | None:
        try:
            return (await self.http(path, timeout_s=1.0))[0]
        except (OSError, TimeoutError):
            return None

    async def wait_active(self, within_s: float = 20.0) -> None:
        await self._wait_standing(ACTIVE, within_s)

    async def wait_standby(self, within_s: float = 20.0) -> None:
        await self._wait_standing(STANDBY, within_s)
        deadline = time.monotonic() + within_s
        while await self._status("/readyz") != 200:
            self.check(self.running, "ended")
            self.check(time.monotonic() < deadline, f"is not ready after {within_s} s")
            await asyncio.sleep(POLL_S)

    async def _wait_standing(self, wanted: int, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while (standing := await self.standing()) != wanted:
            self.check(self.running, "ended")
            self.check(time.monotonic() < deadline, f"has standing {standing} after {within_s} s")
            await asyncio.sleep(POLL_S)
