"""The management port under clients that ask for nothing, half of something, or everything."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from testing.etcd import EtcdMember
from testing.forms import pick
from tests.ha.conftest import StartRole, started_pair

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(180)]

CLIENTS = 1000
"""On each port."""

HALF_SENT = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "
HALF_HTTP2 = b"PRI * HTTP/2.0\r\n"

AS_SHIPPED = {"HA_EARLY_REPLACEMENTS_PER_MINUTE": "1"}
"""So that a standby which takes the active for gone takes over."""


async def half_open(port: int, *, sends: bytes) -> None:
    """Connect, send so much, wait until the server drops us; again, for ever."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(sends)
                await reader.read()
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.01)


async def scrape(port: int) -> None:
    """Ask for all metrics, and at once again."""
    while True:
        await asyncio.to_thread(asked, port, "/metrics")


def asked(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@asynccontextmanager
async def under(*work: Callable[[], asyncio.Task[None]]) -> AsyncIterator[None]:
    tasks = [begin() for begin in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.long_form
@pytest.mark.parametrize(
    ("grpc", "sends"),
    [(False, b""), (False, HALF_SENT), (True, b""), (True, HALF_HTTP2)],
    ids=["nothing", "half", "grpc-nothing", "grpc-half"],
)
async def test_half_open_connections_keep_no_health_check_waiting(
    etcd: EtcdMember, rootcoord: StartRole, grpc: bool, sends: bytes
) -> None:
    active, standby = await started_pair(
        rootcoord, etcd.endpoints, session_ttl_s=30, env=AS_SHIPPED
    )
    ports = (active.metrics_port, standby.metrics_port)
    flooded = (active.port,) if grpc else ports  # a standby's gRPC port refuses
    flood = [
        lambda port=port: asyncio.create_task(half_open(port, sends=sends))
        for port, _ in itertools.product(flooded, range(CLIENTS))
    ]
    took_s = []
    async with under(*flood):
        for _ in range(pick(60, 1200)):
            for port in ports:
                began_s = time.monotonic()
                assert await asyncio.to_thread(asked, port, "/healthz") == 200
                took_s.append(time.monotonic() - began_s)
            await asyncio.sleep(0.05)
    print(f"health checks: worst {max(took_s) * 1000:.0f} ms of {len(took_s)}")
    assert await active.standing() == 200
    print(f"the active was suspected {len(standby.lines('asking it through etcd'))} times")
    assert not standby.lines("register ACTIVE")


async def test_tight_scrapers_let_no_serve_lease_lapse(
    etcd: EtcdMember, rootcoord: StartRole
) -> None:
    active, standby = await started_pair(rootcoord, etcd.endpoints, session_ttl_s=30)
    scrapers = [lambda: asyncio.create_task(scrape(active.metrics_port)) for _ in range(8)]
    async with under(*scrapers):
        for _ in range(pick(60, 1200)):
            assert await active.standing() == 200
            await asyncio.sleep(0.05)
    assert not active.lines("serve lease lapsed")
    assert not standby.lines("register ACTIVE")
