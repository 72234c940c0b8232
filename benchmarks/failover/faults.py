"""What is done to a pair: each fault strikes at a moment, and is mended under the client's eyes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.failover.scene import Scene
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.ha.pair.operator_records import SwitchoverRequest
from testing.etcd import EtcdCluster, EtcdMember
from tests.rig.netns import Net

ETCD_STOPPED_S: Final = 3.0
_WISH_TTL_S: Final = 10
_READ_S: Final = 5.0

Act = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`strike` returns when it is done; `heal` ends it while the client still looks.

    `lasts_s` is how long the client looks on before that when nobody takes over. `ends` says that
    the process ends by it, `exit_code` with what.
    """

    strike: Act
    heal: Act | None = None
    lasts_s: float = 0.0
    exit_code: int | None = None


async def _sigterm(scene: Scene) -> None:
    scene.pair.active.terminate()


async def _kill(scene: Scene) -> None:
    os.kill(scene.pair.active.pid, 9)


async def _switchover(scene: Scene) -> None:
    active = (await scene.client.get(scene.keys.active, timeout_s=_READ_S)).kv
    assert active is not None, "nobody leads"
    lease = await scene.client.lease_grant(_WISH_TTL_S, timeout_s=_READ_S)
    request = SwitchoverRequest(
        nonce=os.urandom(8).hex(), epoch=active.mod_revision, to=0, by="benchmark"
    )
    await scene.client.txn(
        Txn((), (put(scene.keys.switchover, request.encode(), lease.id),)), timeout_s=_READ_S
    )


async def _freeze(scene: Scene) -> None:
    scene.pair.active.pause()


async def _thaw(scene: Scene) -> None:
    scene.pair.active.resume()


async def _lose_host(scene: Scene) -> None:
    scene.pair.host(scene.pair.active).cut()


async def _cut_etcd(scene: Scene) -> None:
    scene.pair.host(scene.pair.active).cut(Net.ETCD)


async def _heal_links(scene: Scene) -> None:
    scene.pair.host(scene.pair.active).heal()


def _cluster(scene: Scene) -> EtcdCluster:
    assert isinstance(scene.etcd, EtcdCluster)
    return scene.etcd


def _lone(scene: Scene) -> EtcdMember:
    assert isinstance(scene.etcd, EtcdMember)
    return scene.etcd


async def _kill_etcd_leader(scene: Scene) -> None:
    scene.etcd_leader.kill()


async def _kill_etcd_follower(scene: Scene) -> None:
    next(member for member in _cluster(scene).members if member is not scene.etcd_leader).kill()


async def _start_etcd(scene: Scene) -> None:
    await _cluster(scene).start()


async def _compact_etcd(scene: Scene) -> None:
    found = await scene.client.get(scene.keys.active, timeout_s=_READ_S)
    await scene.etcd.ctl("compact", "--physical", str(found.revision))


async def _stop_etcd(scene: Scene) -> None:
    member = _lone(scene)
    await member.stop()
    await asyncio.sleep(ETCD_STOPPED_S)
    await member.start()


FAULTS: Final = {
    "sigterm": Fault(_sigterm, exit_code=0),
    "kill": Fault(_kill, exit_code=-9),
    "switchover": Fault(_switchover),
    "freeze": Fault(_freeze, _thaw),
    "lose_host": Fault(_lose_host, _heal_links),
    "cut_etcd": Fault(_cut_etcd, _heal_links),
    "kill_etcd_leader": Fault(_kill_etcd_leader, _start_etcd, lasts_s=4.0),
    "kill_etcd_follower": Fault(_kill_etcd_follower, _start_etcd, lasts_s=2.0),
    "compact_etcd": Fault(_compact_etcd, lasts_s=2.0),
    "stop_etcd": Fault(_stop_etcd, lasts_s=2.0),
}
