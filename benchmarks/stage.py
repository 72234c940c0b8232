"""The stage that both contenders play on: one etcd, one broker, a pair of ours and one of Go's."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from testing.daemon import RoleDaemon
from testing.etcd import EtcdMember
from testing.go_milvus import GoMilvus, GoRole, Surroundings
from testing.kafka import KafkaBroker
from testing.ours import OurRole

SESSION_TTL_S = 20  # Milvus' default


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything under `folder`; what it makes is killed when the stage is left."""

    folder: Path
    etcd: EtcdMember
    broker: KafkaBroker
    milvus: GoMilvus
    _stack: AsyncExitStack

    def make(self, kind: str, name: str) -> RoleDaemon:
        """A rootcoord, not started: `ours`, or `go` for Go Milvus 2.2.16."""
        role = self._ours(name) if kind == "ours" else self._go(name)
        self._stack.callback(role.kill)
        return role

    def _ours(self, name: str) -> OurRole:
        return OurRole(
            "rootcoord",
            etcd_endpoints=self.etcd.endpoints,
            folder=self.folder / name,
            session_ttl_s=SESSION_TTL_S,
            env={"ETCD_ROOT_PATH": "ours", "KAFKA_BROKER_LIST": self.broker.address},
        )

    def _go(self, name: str) -> GoRole:
        around = Surroundings(
            self.etcd.endpoints,
            self.broker.address,
            self.folder / "storage",
            root_path="go",
            session_ttl_s=SESSION_TTL_S,
        )
        return GoRole(self.milvus, "rootcoord", around, folder=self.folder / name)


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """A stage in a temporary folder that is gone afterwards."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="milvus-coord-")))
        etcd = EtcdMember("bench", folder / "etcd")
        stack.callback(etcd.kill)
        await etcd.start()
        broker = KafkaBroker(folder)
        stack.callback(broker.kill)
        await broker.serve()
        yield Stage(folder, etcd, broker, GoMilvus.install(), stack)
