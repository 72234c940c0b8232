"""A coordinator of ours in the rig: all it says and hears goes through edges that can be cut."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from testing.etcd import EtcdCluster
from testing.ours import STANDBY, OurRole
from testing.ports import free_ports
from tests.rig.edges import Edge, Edges

FAILPOINTS: Final = "MILVUS_COORD_FAILPOINTS"
OK: Final = 200


class Coordinator(OurRole):
    """One rootcoord; `address` is the one that clients dial.

    Attributes:
        peer: the edge from the others to its gRPC port; its endpoint is what the session names.
        client: the edge from the clients to its gRPC port.
        etcd: the edges from it to all members of etcd, as one; `etcd.members` are the single ones.
        everything: all of these as one.
    """

    def __init__(
        self,
        number: int,
        *,
        ports: tuple[int, int],
        peer: Edge,
        client: Edge,
        etcd: Edge,
        folder: Path,
        session_ttl_s: int,
        env: Mapping[str, str],
        other_host: bool,
    ) -> None:
        self.number, self.other_host = number, other_host
        self.peer, self.client, self.etcd = peer, client, etcd
        self.everything = peer.and_(client, *etcd.members)
        super().__init__(
            "rootcoord",
            etcd_endpoints=[member.endpoint for member in etcd.members],
            folder=folder / f"c{number}",
            port=ports[0],
            metrics_port=ports[1],
            session_ttl_s=session_ttl_s,
            env={"ROOT_COORD_ADDRESS": peer.endpoint, **env},
        )
        self.address = client.endpoint
        if other_host:
            unshare = shutil.which("unshare")
            assert unshare is not None, "no unshare: install util-linux"
            self.argv[:0] = [unshare, "--pid", "--mount-proc", "--fork", "--kill-child"]

    @classmethod
    async def make(
        cls,
        number: int,
        edges: Edges,
        cluster: EtcdCluster,
        *,
        folder: Path,
        session_ttl_s: int,
        env: Mapping[str, str],
        other_host: bool,
    ) -> Coordinator:
        """Open its edges; it is not started."""
        port, metrics_port = free_ports(2)
        target = f"127.0.0.1:{port}"
        first, *rest = [
            await edges.open(f"c{number}-etcd{index}", endpoint)
            for index, endpoint in enumerate(cluster.endpoints)
        ]
        return cls(
            number,
            ports=(port, metrics_port),
            peer=await edges.open(f"c{number}-peer", target),
            client=await edges.open(f"c{number}-client", target),
            etcd=first.and_(*rest),
            folder=folder,
            session_ttl_s=session_ttl_s,
            env=env,
            other_host=other_host,
        )

    @property
    def pid(self) -> int:
        """The coordinator itself, as we see it: not the process that gave it a namespace."""
        outer = super().pid
        if not self.other_host:
            return outer
        try:
            children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        except OSError:
            children = []
        return int(children[0]) if children else outer

    def kill(self) -> None:
        """Kill -9 of the coordinator itself, at once."""
        if self.other_host and self.running:
            os.kill(self.pid, 9)
        super().kill()

    def arm(self, failpoints: str) -> None:
        """What its next start finds in the variable of failpoints; "" for none."""
        self.env.pop(FAILPOINTS, None)
        if failpoints:
            self.env[FAILPOINTS] = failpoints

    async def is_ready(self) -> bool:
        """Whether it stands by and says that it could take over now."""
        try:
            standing, (ready, _) = await self.standing(), await self.http("/readyz")
        except (OSError, TimeoutError):
            return False
        return (standing, ready) == (STANDBY, OK)

    async def epoch(self) -> int:
        """The epoch it leads in, 0 when it does not."""
        status, body = await self.http("/role")
        return int(json.loads(body)["epoch"]) if status == 200 else 0
