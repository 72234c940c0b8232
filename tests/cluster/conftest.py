"""Fixtures for tests with real processes: Go Milvus 2.2.16, ours, a broker and a hammer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.daemon import RoleDaemon
from tests.support.etcd import EtcdMember
from tests.support.go_milvus import GoMilvus, GoRole, Surroundings, Unavailable
from tests.support.kafka import KafkaBroker
from tests.support.ours import OurRole

SESSION_TTL_S = 3


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


class Troupe:
    """Makes the processes of one test, not started; all are killed when it ends."""

    def __init__(self, milvus: GoMilvus, around: Surroundings, folder: Path) -> None:
        self.around = around
        self._milvus, self._folder = milvus, folder
        self._made: list[RoleDaemon] = []

    def make(self, kind: str) -> RoleDaemon:
        """A rootcoord: `go` for Go Milvus 2.2.16, `ours` for ours."""
        return self.go() if kind == "go" else self.ours()

    def go(self, role: str = "rootcoord", *, root_path: str = "by-dev") -> GoRole:
        """Any role of Go Milvus; another `etcd.rootPath` is another cluster."""
        around = replace(self.around, root_path=root_path)
        made = GoRole(self._milvus, role, around, folder=self._new_folder())
        self._made.append(made)
        return made

    def ours(self, role: str = "rootcoord") -> OurRole:
        """One of our roles."""
        made = OurRole(
            role,
            etcd_endpoints=self.around.etcd_endpoints,
            folder=self._new_folder(),
            session_ttl_s=self.around.session_ttl_s,
            env={"KAFKA_BROKER_LIST": self.around.kafka},
        )
        self._made.append(made)
        return made

    def kill_all(self) -> None:
        for role in self._made:
            role.kill()

    def _new_folder(self) -> Path:
        return self._folder / f"process-{len(self._made)}"


@pytest.fixture
def troupe(go_milvus: GoMilvus, etcd: EtcdMember, kafka: str, tmp_path: Path) -> Iterator[Troupe]:
    around = Surroundings(etcd.endpoints, kafka, tmp_path / "storage", session_ttl_s=SESSION_TTL_S)
    made = Troupe(go_milvus, around, tmp_path)
    try:
        yield made
    finally:
        made.kill_all()
