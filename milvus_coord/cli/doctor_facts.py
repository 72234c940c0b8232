"""What `milvus doctor` asks of etcd before it judges."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from milvus_coord.allocator import window
from milvus_coord.app.rights import needs
from milvus_coord.app.roles import ROLES
from milvus_coord.cli.connection import Connection
from milvus_coord.config import Settings
from milvus_coord.etcd.errors import EtcdError, Unavailable
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.rights import is_granted
from milvus_coord.etcd.values import ClusterMember, MemberStatus
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import Clock

_SAMPLES: Final = 20
_CALL_S: Final = 5.0
_PROBE_TTL_S: Final = 10


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of some calls, one after the other; `error` when one failed."""

    p50_ms: float = 0.0
    max_ms: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class EtcdFacts:
    """What etcd told.

    Attributes:
        members: what each configured endpoint says.
        cluster: the members of the cluster; empty when etcd did not tell.
        reads: linearizable reads of one key.
        renewals: keep-alives of a lease of our own.
        bound_ns: up to where timestamps may have been handed out, Unix time; 0 when none ever were.
        bound_error: why the stored bound cannot be read.
        wall_ns: our own clock when the bound was read.
        denied: what our user lacks of the rights that a coordinator needs, as etcdctl takes them.
    """

    members: tuple[MemberStatus, ...]
    cluster: tuple[ClusterMember, ...]
    reads: Latency
    renewals: Latency
    bound_ns: int
    bound_error: str
    wall_ns: int
    denied: tuple[str, ...] = ()


async def gather(connection: Connection) -> EtcdFacts:
    """Ask etcd. Raises etcd's errors where there is nothing to judge without an answer."""
    etcd, clock = connection.etcd, connection.clock
    kv_root = connection.settings.etcd.kv_root
    (key,) = (role.timestamp_bound(kv_root) for role in ROLES.values() if role.timestamp_bound)
    members = await etcd.status()
    try:
        cluster = await etcd.members(timeout_s=_CALL_S)
    except EtcdError:
        cluster = ()
    reads = await _measured(clock, lambda: etcd.get(key, timeout_s=_CALL_S))
    renewals = await _renewals(connection)
    wall_ns = clock.wall_ns()
    bound_ns, bound_error = await _bound(etcd, key)
    denied = await denied_rights(etcd, connection.settings)
    return EtcdFacts(members, cluster, reads, renewals, bound_ns, bound_error, wall_ns, denied)


async def denied_rights(etcd: Etcd, settings: Settings) -> tuple[str, ...]:
    """What our user lacks of what coordinators need. Raises etcd's errors."""
    wanted = dict.fromkeys(need for role in ROLES.values() for need in needs(role, settings))
    return tuple([str(need) for need in wanted if not await is_granted(etcd, need)])


async def _renewals(connection: Connection) -> Latency:
    etcd = connection.etcd
    try:
        lease = await etcd.lease_grant(_PROBE_TTL_S, timeout_s=_CALL_S)
    except EtcdError as error:
        return Latency(error=str(error))

    async def renew() -> int:
        return await etcd.keep_alive_once(lease.id, timeout_s=_CALL_S)

    try:
        for _ in etcd.endpoints:  # each failure makes the next call ask the next endpoint
            try:
                await renew()
                break
            except Unavailable:
                continue
        return await _measured(connection.clock, renew)
    finally:
        await _forget(connection, lease.id)


async def _forget(connection: Connection, lease: int) -> None:
    try:
        await connection.etcd.lease_revoke(lease, timeout_s=_CALL_S)
    except EtcdError:
        return  # it ends by itself


async def _measured(clock: Clock, call: Callable[[], Awaitable[object]]) -> Latency:
    took_ms = []
    try:
        for _ in range(_SAMPLES):
            began_s = clock.boottime()
            await call()
            took_ms.append((clock.boottime() - began_s) * 1000)
    except EtcdError as error:
        return Latency(error=str(error))
    return Latency(statistics.median(took_ms), max(took_ms))


async def _bound(etcd: Etcd, key: bytes) -> tuple[int, str]:
    try:
        stored = (await etcd.get(key, timeout_s=_CALL_S)).kv
        return window.decode(key.decode(), stored.value if stored else None), ""
    except (BadValue, EtcdError) as error:
        return 0, str(error)
