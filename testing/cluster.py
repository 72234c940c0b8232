"""Milvus clusters as processes: single roles for a test, or all of them around a rootcoord pair."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from testing.daemon import RoleDaemon
from testing.etcd import EtcdMember
from testing.go_milvus import GoMilvus, GoRole, Surroundings
from testing.kafka import KafkaBroker
from testing.ours import NEVER_EARLY, OurRole

Kind: TypeAlias = Literal["go", "ours"]
Fault: TypeAlias = Literal["SIGTERM", "SIGKILL"]

SESSION_TTL_S: Final = 3
COORDINATORS: Final = ("datacoord", "querycoord", "indexcoord")
EVERYTHING: Final = (*COORDINATORS, "datanode", "querynode", "indexnode", "proxy")
_PAIRS: Final[dict[str, tuple[Kind, Kind]]] = {
    "ours": ("ours", "ours"),
    "go": ("go", "go"),
    "mixed": ("go", "ours"),
}
_BACKSTOP_S: Final = SESSION_TTL_S + 7.0  # etcd looks for expired leases now and then only


def pair_under_test() -> tuple[Kind, Kind]:
    """What the suites run on: `$TEST_ROOTCOORD` is `ours` (default), `go` or `mixed`.

    With `go` a suite judges itself: Go Milvus 2.2.16 has to pass it.
    """
    return _PAIRS[os.environ.get("TEST_ROOTCOORD", "ours")]


class Troupe:
    """Makes processes of one cluster, not started; `kill_all` ends them."""

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
        made = GoRole(self._milvus, role, around, folder=self._new_folder(role))
        self._made.append(made)
        return made

    def ours(self, role: str = "rootcoord") -> OurRole:
        """One of our roles."""
        made = OurRole(
            role,
            etcd_endpoints=self.around.etcd_endpoints,
            folder=self._new_folder(role),
            session_ttl_s=self.around.session_ttl_s,
            env={
                "KAFKA_BROKER_LIST": self.around.kafka,
                **{
                    key.replace(".", "_").upper(): value
                    for key, value in self.around.settings(role).items()
                },
                **NEVER_EARLY,
            },
        )
        self._made.append(made)
        return made

    def kill_all(self) -> None:
        for role in self._made:
            role.kill()

    def _new_folder(self, role: str) -> Path:
        return self._folder / f"{len(self._made)}-{role}"


class Cluster:
    """One running cluster; `async with cluster(...)` makes it.

    Attributes:
        etcd: its store, of one member.
        storage: the folder that stands in for object storage.
        active, standby: the rootcoord pair, as last waited for.
        others: the other roles by name, all Go Milvus 2.2.16.
    """

    def __init__(
        self, etcd: EtcdMember, troupe: Troupe, pair: tuple[Kind, Kind], roles: Sequence[str]
    ) -> None:
        self.etcd = etcd
        self.troupe = troupe
        self.storage = troupe.around.storage
        self.active, self.standby = (troupe.make(kind) for kind in pair)
        self.others = {role: troupe.go(role) for role in roles}

    async def start(self) -> None:
        """Start all, and return when each says that it is healthy, or stands by."""
        self.active.start()
        await self.active.wait_active()
        self.standby.start()
        for role in self.others.values():
            role.start()
        await asyncio.gather(
            self.standby.wait_standby(),
            *(role.wait_active(within_s=50) for role in self.others.values()),
        )

    @property
    def address(self) -> str:
        """`host:port` for users: the proxy's."""
        proxy = self.others["proxy"]
        return proxy.client_address

    async def end_active(self, fault: Fault) -> None:
        """End the active rootcoord, return when the other one leads and nobody stands by."""
        await self.strike(fault)
        await self.standby.wait_active(_BACKSTOP_S)
        self.active, self.standby = self.standby, self.active

    async def strike(self, fault: Fault) -> None:
        """End the active rootcoord and return when its process is gone."""
        if fault == "SIGTERM":
            self.active.terminate()
            await self.active.wait_exit()
        else:
            self.active.kill()

    async def revive_standby(self) -> None:
        """Start the rootcoord that was ended; it stands by when this returns."""
        self.standby.start()
        await self.standby.wait_standby()

    async def take_over(self, fault: Fault) -> None:
        """A change of the active rootcoord, after which there is a standby again."""
        await self.end_active(fault)
        await self.revive_standby()


@asynccontextmanager
async def cluster(
    milvus: GoMilvus,
    folder: Path,
    *,
    pair: tuple[Kind, Kind],
    roles: Sequence[str] = EVERYTHING,
    authorization: bool = False,
    settings: Callable[[str], Mapping[str, str]] = lambda _: {},
    prepare: Callable[[EtcdMember], Awaitable[None]] | None = None,
) -> AsyncIterator[Cluster]:
    """A fresh cluster with etcd and broker of its own, all healthy; all killed at the end.

    `settings` gives more of milvus.yaml for a role; `prepare` gets the etcd before the first one
    starts. Raises ImportError without librdkafka.
    """
    etcd = EtcdMember("solo", folder / "etcd")
    broker = KafkaBroker(folder / "kafka")
    troupe: Troupe | None = None
    try:
        (folder / "storage").mkdir()
        await etcd.start()
        if prepare is not None:
            await prepare(etcd)
        around = Surroundings(
            etcd.endpoints,
            await broker.serve(),
            folder / "storage",
            session_ttl_s=SESSION_TTL_S,
            authorization=authorization,
            settings=settings,
        )
        troupe = Troupe(milvus, around, folder)
        made = Cluster(etcd, troupe, pair, roles)
        await made.start()
        yield made
    finally:
        if troupe is not None:
            troupe.kill_all()
        broker.kill()
        etcd.kill()
        shutil.rmtree(etcd.directory / "data", ignore_errors=True)  # 123 MB
