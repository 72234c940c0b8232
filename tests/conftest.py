"""Fixtures shared by all tests, and how tests are shared among workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from testing import sharing
from testing.etcd import EtcdCluster, EtcdMember, EtcdOptions
from testing.forms import load_profile

load_profile()

StartEtcd: TypeAlias = Callable[..., Awaitable[EtcdCluster]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = sharing.in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return sharing.scheduler(config, log)


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[EtcdMember]:
    """A fresh etcd of one member, ready to serve."""
    member = EtcdMember("solo", tmp_path / "etcd")
    try:
        await member.start()
        yield member
    finally:
        member.kill()


@pytest.fixture
async def etcd3(tmp_path: Path) -> AsyncIterator[EtcdCluster]:
    """A fresh etcd of three members, ready to serve."""
    cluster = EtcdCluster(tmp_path / "etcd3", 3)
    try:
        await cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
async def start_etcd(tmp_path: Path) -> AsyncIterator[StartEtcd]:
    """Start clusters with options of their own: `await start_etcd(1, EtcdOptions(...))`."""
    started: list[EtcdCluster] = []

    async def start(size: int = 1, options: EtcdOptions | None = None) -> EtcdCluster:
        cluster = EtcdCluster(tmp_path / f"etcd-{len(started)}", size, options)
        started.append(cluster)
        await cluster.start()
        return cluster

    yield start
    for cluster in started:
        cluster.kill()
