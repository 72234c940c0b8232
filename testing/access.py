"""The RPCs of access control over the real metadata of a term, with etcd in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.access.defaults import write_defaults
from milvus_coord.coordinators.rootcoord.access.rpcs import AccessRpcs
from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.access.work import Access, AccessLimits
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage, mirrored
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.coordinators.rootcoord.rpcs import contract
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.model.errors import CoordError
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.rpcs.family import Answering
from milvus_coord.role.tasks.jobs import Jobs
from testing.direct_calls import DirectCalls
from testing.limits import ACCESS_LIMITS
from testing.metadata import META_ROOT
from testing.role_world import RoleWorld, Term

ROOM: Final = f"{META_ROOT}/root-coord/credential/"
LEASE_S: Final = 5.0


@dataclass
class FakeProxies:
    """Writes down what it is told; `failure` is raised by what is awaited."""

    failure: CoordError | None = None
    told: list[tuple[object, ...]] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def update_credential(self, username: str, sha256_password: str) -> None:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        self.told.append(("update", username, sha256_password))
        if self.failure is not None:
            raise self.failure

    def invalidate_credential_later(self, username: str) -> None:
        self.told.append(("forget", username))

    def refresh_policy_later(self, op_type: int, op_key: str) -> None:
        self.told.append((int(op_type), op_key))


class _NoTimestamps:
    async def take(self, count: int) -> Timestamp:
        raise AssertionError("access control is not versioned")


class AccessTerm(DirectCalls):
    """One leadership; `ok` and `call` take the names of RPCs and of their requests' fields."""

    def __init__(self, world: AccessWorld, led: Term[MetaImage]) -> None:
        self.lifecycle = world.active()
        self.serve = ServeLease(world.clock, LEASE_S, world.clock.boottime())
        self.mirror, self.proxies = led.mirror, FakeProxies()
        self._catalog = world.access_catalog
        self.store = Store(
            led.mirror, led.fence, self.serve.require, world.catalog, _NoTimestamps()
        )
        self.jobs = Jobs(led.tasks, name="rootcoord.access", limit=10240, noun="statements")
        proxies = cast(Any, self.proxies)
        self.access = Access(self.store, self._catalog, self.jobs, proxies, world.limits)
        self.methods = AccessRpcs(Answering(contract(), self.lifecycle), self.access).__mapping__()

    @property
    def state(self) -> AccessState:
        return self.access.state

    async def defaults(self) -> None:
        await write_defaults(self.store, self._catalog)

    async def ok(self, rpc: str, **fields: Any) -> Any:
        """The reply, which must tell of success."""
        reply = await self.call(rpc, **fields)
        assert status_of(reply) == (0, ""), f"{rpc}: {status_of(reply)}"
        return reply

    async def refused(self, rpc: str, **fields: Any) -> tuple[int, str]:
        """Code and text of a reply, which must tell of failure."""
        found = status_of(await self.call(rpc, **fields))
        assert found[0] != 0, f"{rpc} succeeded"
        return found

    async def user(self, name: str, password_hash: str = "$2a$04$x") -> None:
        await self.ok(
            "CreateCredential",
            username=name,
            encrypted_password=password_hash,
            sha256_password=f"sha of {name}",
        )

    async def role(self, name: str) -> None:
        await self.ok("CreateRole", entity={"name": name})


class AccessWorld(RoleWorld[MetaImage]):
    """What outlives a term: an etcd in memory, or a real one behind `link`."""

    def __init__(
        self,
        limits: AccessLimits = ACCESS_LIMITS,
        *,
        link: Etcd | None = None,
        meta_root: str = META_ROOT,
    ) -> None:
        super().__init__(mirrored(meta_root), Keys(meta_root, "rootcoord"), link=link)
        self.catalog, self.access_catalog = Catalog(meta_root), AccessCatalog(meta_root)
        self.limits = limits

    @asynccontextmanager
    async def term(self) -> AsyncIterator[AccessTerm]:
        """A new leadership, which ends the one before; all its tasks end with the block."""
        async with self.leading() as led:
            yield AccessTerm(self, led)

    async def write(self, **entries: bytes | None) -> None:
        """Write keys of the room behind everybody's back, None deletes."""
        for name, value in entries.items():
            key = f"{ROOM}{name}".encode()
            await (self.delete(key) if value is None else self.put(key, value))

    def room(self) -> dict[str, bytes]:
        """All keys of the room, without its prefix."""
        return self.stored("root-coord/credential/")

    @property
    def revision(self) -> int:
        return self.etcd.store.revision


def status_of(reply: Any) -> tuple[int, str]:
    """Code and text, of a Status too."""
    status = getattr(reply, "status", reply)
    return status.error_code, status.reason


def grant_entity(
    role: str = "r",
    object_type: str = "Collection",
    object_name: str = "c",
    privilege: str = "Insert",
    *,
    user: str = "root",
    db_name: str = "",
) -> dict[str, Any]:
    """A complete GrantEntity."""
    return {
        "role": {"name": role},
        "object": {"name": object_type},
        "object_name": object_name,
        "db_name": db_name,
        "grantor": {"user": {"name": user}, "privilege": {"name": privilege}},
    }
