"""Where the faults happen: a private network, etcd, a broker, metadata, and one pair at a time."""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from benchmarks.failover.cases import Place
from benchmarks.failover.pair import Pair
from benchmarks.statements import call, connected, create_collection, side_by_side
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.runtime.clock import SystemClock
from testing.cluster_peers import Peers
from testing.daemon import boottime_s
from testing.etcd import EtcdCluster, EtcdMember
from testing.go_milvus import GoMilvus, GoRole, Surroundings
from testing.kafka import KafkaBroker
from testing.ours import OurRole
from tests.rig.netns import Host, Lan, Net
from tests.rig.relay import Relay

ROOT_PATH: Final = "by-dev"
CALLERS: Final = 32
_UNDAMPED: Final = {
    "HA_EARLY_REPLACEMENTS_PER_MINUTE": "1000",
    "HA_EARLY_REPLACEMENTS_PER_TEN_MINUTES": "1000",
}


class Scene:
    """One etcd with its metadata, and the pair that plays on it now.

    Attributes:
        client: of that etcd, for looking and requests.
        etcd_leader: of three members, found before each fault.
    """

    def __init__(
        self,
        folder: Path,
        lan: Lan,
        etcd: EtcdMember | EtcdCluster,
        broker: KafkaBroker,
        client: EtcdClient,
        ttl_s: int,
        stack: AsyncExitStack,
    ) -> None:
        self.folder, self.etcd, self.client, self.ttl_s = folder, etcd, client, ttl_s
        self.keys = Keys(f"{ROOT_PATH}/meta", "rootcoord")
        self._lan, self._broker, self._stack = lan, broker, stack
        self._hosts: tuple[Host, Host] | None = None
        self._numbers = itertools.count()
        self._pair: Pair | None = None
        self._leader: EtcdMember | None = None

    @property
    def pair(self) -> Pair:
        assert self._pair is not None, "no pair is on the scene"
        return self._pair

    @property
    def etcd_leader(self) -> EtcdMember:
        assert self._leader is not None, "the leader was not looked for"
        return self._leader

    async def prepare(self) -> None:
        """Before each fault: what it must not take time to find out."""
        if isinstance(self.etcd, EtcdCluster):
            self._leader = await self.etcd.leader()

    async def enter(self, kind: str, place: Place) -> None:
        """A pair of that kind in that place, both up, and no other."""
        if self._pair is not None and (self._pair.kind, self._pair.place) == (kind, place):
            return
        await self.leave()
        hosts = self._two_hosts() if place is Place.HOSTS else None
        make = self._ours if kind == "ours" else self._go
        roles = make(hosts[0] if hosts else None), make(hosts[1] if hosts else None)
        for role in roles:
            self._stack.callback(role.kill)
        self._pair = Pair(kind, place, roles, hosts, self.etcd, self.ttl_s)
        await self._pair.start()

    async def leave(self) -> None:
        if self._pair is not None:
            await self._pair.stop()
            self._pair = None

    async def fill(self, collections: int) -> None:
        """Let a rootcoord of ours create them, as a proxy would ask it to."""
        role = self._ours(None)
        peers = Peers()
        peers.start()
        try:
            await peers.register(self.etcd)  # type: ignore[arg-type]  # needs `ctl` alone
            role.start()
            await role.wait_active()
            began_s = boottime_s()
            async with connected(role.address) as connection:
                await side_by_side(
                    CALLERS,
                    collections,
                    lambda n: call(connection, "CreateCollection", create_collection(f"c{n}")),
                )
            took_s = boottime_s() - began_s
            print(f"made {collections} collections in {took_s:.0f} s", file=sys.stderr)
            await role.stop(40)
            for session in ("proxy", "datacoord", "querycoord", "indexcoord"):
                await self.etcd.ctl("del", "--prefix", f"{self.keys.meta_root}/session/{session}")
        finally:
            role.kill()
            peers.stop()

    def _ours(self, host: Host | None) -> OurRole:
        env = {"KAFKA_BROKER_LIST": self._broker.address, **_UNDAMPED}
        role = OurRole(
            "rootcoord",
            etcd_endpoints=self._endpoints(host),
            folder=self._new_folder("ours"),
            session_ttl_s=self.ttl_s,
            env=env,
        )
        if host is None:
            return role
        role.address = f"{host.address}:{role.port}"
        role.env["ROOT_COORD_ADDRESS"] = role.address
        return host.house(role)

    def _go(self, host: Host | None) -> GoRole:
        around = Surroundings(
            self._endpoints(host),
            self._broker.address,
            self.folder / "storage",
            root_path=ROOT_PATH,
            session_ttl_s=self.ttl_s,
        )
        role = GoRole(GoMilvus.install(), "rootcoord", around, folder=self._new_folder("go"))
        if host is None:
            return role
        role.address = f"{host.address}:{role.port}"
        return host.house(role)

    def _endpoints(self, host: Host | None) -> tuple[str, ...]:
        if host is None:
            return self.etcd.endpoints
        assert isinstance(self.etcd, EtcdMember)
        return (self._lan.etcd_endpoint(self.etcd),)

    def _new_folder(self, kind: str) -> Path:
        return self.folder / f"{kind}-{next(self._numbers)}"

    def _two_hosts(self) -> tuple[Host, Host]:
        """Both see the broker at its own address, by way of the network of clients."""
        if self._hosts is None:
            self._hosts = self._lan.host(), self._lan.host()
            port = self._broker.address.rpartition(":")[2]
            bridge = f"{self._lan.address_in(Net.CLIENTS)}:{port}"
            folder = self._new_folder("relay")
            relays = [Relay(bridge, self._broker.address, folder=folder, name="bridge")]
            for number, host in enumerate(self._hosts):
                relay = Relay(self._broker.address, bridge, folder=folder, name=f"host-{number}")
                relays.append(host.house(relay))
            for relay in relays:
                self._stack.callback(relay.kill)
                relay.start()
        return self._hosts


@asynccontextmanager
async def scene(
    lan: Lan, folder: Path, *, members: int, collections: int, ttl_s: int
) -> AsyncIterator[Scene]:
    """A fresh one in that network; everything is killed at the end."""
    async with AsyncExitStack() as stack:
        etcd = lan.etcd("solo", folder / "etcd") if members == 1 else EtcdCluster(folder, members)
        stack.callback(etcd.kill)
        await etcd.start()
        broker = KafkaBroker(folder)
        stack.callback(broker.kill)
        await broker.serve()
        client = EtcdClient(EtcdSettings(etcd.endpoints), SystemClock())
        stack.push_async_callback(client.close)
        await client.connect()
        made = Scene(folder, lan, etcd, broker, client, ttl_s, stack)
        if collections:
            await made.fill(collections)
        yield made
