"""Two rootcoords that change places, and how they come back after whatever was done to them."""

from __future__ import annotations

import asyncio

from benchmarks.failover.cases import Place
from testing.daemon import RoleDaemon
from testing.etcd import EtcdCluster, EtcdMember
from tests.rig.netns import Host

SESSIONS = "by-dev/meta/session/rootcoord"
_END_S = 40.0


class Pair:
    """An active and a standby of one kind; `hosts` are theirs in the same order, if any."""

    def __init__(
        self,
        kind: str,
        place: Place,
        roles: tuple[RoleDaemon, RoleDaemon],
        hosts: tuple[Host, Host] | None,
        etcd: EtcdMember | EtcdCluster,
        ttl_s: int,
    ) -> None:
        self.kind, self.place, self.ttl_s = kind, place, ttl_s
        self.active, self.standby = roles
        self._etcd = etcd
        self._hosts = dict(zip(roles, hosts, strict=True)) if hosts else {}
        self._start_within_s = ttl_s + 60.0

    def host(self, role: RoleDaemon) -> Host:
        return self._hosts[role]

    async def start(self) -> None:
        """Both from nothing, with no trace of sessions before."""
        await self._etcd.ctl("del", "--prefix", SESSIONS)
        self.active.start()
        await self.active.wait_active(self._start_within_s)
        self.standby.start()
        await self.standby.wait_standby(self._start_within_s)

    async def stop(self) -> None:
        await self.standby.stop(_END_S)
        await self.active.stop(_END_S)

    def swap(self) -> None:
        self.active, self.standby = self.standby, self.active

    async def revive(self, role: RoleDaemon) -> None:
        """A standby again, however it ended."""
        if not role.running:
            role.start()
        await role.wait_standby(self._start_within_s)

    async def end_and_revive(self, role: RoleDaemon) -> None:
        """Wait for its end by itself, then start it again."""
        await role.wait_exit(_END_S)
        await self.revive(role)

    async def renew(self) -> None:
        """After a run that went wrong: both killed, links healed, both started anew."""
        for role in (self.active, self.standby):
            role.resume()
            role.kill()
            if role in self._hosts:
                self._hosts[role].heal()
        await asyncio.sleep(0.2)  # whatever is on its way to etcd
        await self.start()
