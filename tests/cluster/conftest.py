"""Fixtures for tests with real processes: Go Milvus 2.2.16, ours, a broker and pymilvus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from testing import cluster_pymilvus
from testing.cluster import SESSION_TTL_S, Cluster, Troupe, cluster, pair_under_test
from testing.cluster_pymilvus import Pymilvus, User
from testing.etcd import EtcdMember
from testing.go_milvus import GoMilvus, Surroundings, Unavailable
from testing.kafka import KafkaBroker
from tests.cluster import twins


@pytest.fixture(scope="session")
def go_milvus() -> GoMilvus:
    """The released binary; tests are skipped where it cannot be had."""
    try:
        return GoMilvus.install()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Address of a broker that all tests of the session share."""
    pytest.importorskip("confluent_kafka")
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        yield await broker.serve()
    finally:
        broker.kill()


@pytest.fixture
def troupe(go_milvus: GoMilvus, etcd: EtcdMember, kafka: str, tmp_path: Path) -> Iterator[Troupe]:
    around = Surroundings(etcd.endpoints, kafka, tmp_path / "storage", session_ttl_s=SESSION_TTL_S)
    made = Troupe(go_milvus, around, tmp_path)
    try:
        yield made
    finally:
        made.kill_all()


@pytest.fixture(scope="session")
def pymilvus_library() -> Path:
    """Where pymilvus is; tests are skipped where it cannot be had."""
    try:
        return cluster_pymilvus.install()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def milvus(
    go_milvus: GoMilvus, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    """A whole cluster that asks for passwords, with the rootcoord pair under test."""
    pytest.importorskip("confluent_kafka")
    folder = tmp_path_factory.mktemp("milvus")
    async with cluster(go_milvus, folder, pair=pair_under_test(), authorization=True) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pymilvus(
    milvus: Cluster, pymilvus_library: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pymilvus]:
    """A client of that cluster."""
    client = Pymilvus(pymilvus_library, milvus.address, folder=tmp_path_factory.mktemp("pymilvus"))
    try:
        await client.begin()
        yield client
    finally:
        client.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def root(pymilvus: Pymilvus) -> User:
    """The user who may do everything, in the database `default`."""
    return await pymilvus.login("root", "Milvus")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def both(go_milvus: GoMilvus, tmp_path_factory: pytest.TempPathFactory) -> twins.Both:
    """What Go and the rootcoord under test made of the same conversation."""
    pytest.importorskip("confluent_kafka")
    return await twins.compare(go_milvus, tmp_path_factory.mktemp("twins"), pair_under_test()[1])
