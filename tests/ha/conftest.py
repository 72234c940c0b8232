"""Fixtures of the failover tests: real processes of ours on a real etcd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdMember
from testing.ours import NEVER_EARLY, OurRole

StartRole: TypeAlias = Callable[..., OurRole]

TTL_S = 2
"""The shortest lease that etcd grants by default: what ends by itself ends soon."""


@pytest.fixture
async def rootcoord(tmp_path: Path) -> AsyncIterator[StartRole]:
    """Make rootcoords: `rootcoord(etcd_endpoints, **more)`; all are killed at the end."""
    made: list[OurRole] = []

    def make(
        etcd_endpoints: Sequence[str], *, env: Mapping[str, str] | None = None, **more: object
    ) -> OurRole:
        settings: dict[str, object] = {"session_ttl_s": TTL_S, **more}
        role = OurRole(
            "rootcoord",
            etcd_endpoints=etcd_endpoints,
            folder=tmp_path / f"rootcoord-{len(made)}",
            env={"LOG_LEVEL": "debug", "HA_SERVE_LEASE": "500", **NEVER_EARLY, **(env or {})},
            **settings,  # type: ignore[arg-type]  # passed through as given
        )
        made.append(role)
        return role

    yield make
    for role in made:
        role.resume()
        role.kill()


@pytest.fixture
async def client(etcd: EtcdMember) -> AsyncIterator[EtcdClient]:
    """A client of the etcd that the coordinators use."""
    made = EtcdClient(EtcdSettings(etcd.endpoints), SystemClock())
    await made.connect()
    yield made
    await made.close()


Pair: TypeAlias = tuple[OurRole, OurRole]


async def started_pair(make: StartRole, endpoints: Sequence[str], **more: object) -> Pair:
    """An active and a standby that says it is ready."""
    active, standby = make(endpoints, **more), make(endpoints, **more)
    active.start()
    await active.wait_active()
    standby.start()
    await standby.wait_standby()
    return active, standby
