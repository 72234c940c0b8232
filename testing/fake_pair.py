"""Instances that write to etcd what real ones write, and do nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Op, Txn, delete, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import RequestState, SwitchoverRequest
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.model.states import Phase

META_ROOT = "by-dev/meta"
EVERY_S = 0.3
TTL_S = 20


def status_of(server_id: int, **more: object) -> InstanceStatus:
    """A standby that is fit; `more` replaces fields."""
    status = InstanceStatus(
        server_id=server_id,
        phase=Phase.STANDBY,
        ready=True,
        why=(),
        address=f"127.0.0.1:{53100 + server_id}",
        management=f"127.0.0.1:{9100 + server_id}",
        version="0.1.0",
        epoch=0,
        lease_age_ms=300,
        serve_age_ms=None,
        revision=1,
        behind=0,
        etcd_ms=1,
        loop_lag_ms=0,
    )
    return replace(status, **more)  # type: ignore[arg-type]  # as the caller says


@dataclass(slots=True)
class FakeInstance:
    """One instance of a role; `ours` False makes it a Go coordinator, which has no status."""

    etcd: Etcd
    keys: Keys
    status: InstanceStatus
    ours: bool = True
    lease: int = 0

    @property
    def server_id(self) -> int:
        return self.status.server_id

    @property
    def record(self) -> SessionRecord:
        return SessionRecord(self.server_id, self.keys.role, self.status.address, fenced=self.ours)

    async def write(self, *ops: Op) -> int:
        return (await self.etcd.txn(Txn((), ops))).revision

    async def join(self, ttl_s: int = TTL_S) -> None:
        """Take a lease, put the instance key, say the status once."""
        self.lease = (await self.etcd.lease_grant(ttl_s)).id
        await self.write(put(self.keys.instance(self.server_id), self.record.encode(), self.lease))
        await self.say()

    async def say(self, **more: object) -> None:
        """Write the status, changed by `more`."""
        self.status = replace(self.status, **more)  # type: ignore[arg-type]  # as above
        if self.ours:
            key = self.keys.status(self.server_id)
            await self.write(put(key, self.status.encode(), self.lease))

    async def lead(
        self,
        cause: Cause = Cause.FIRST,
        former: FakeInstance | None = None,
        phases: Mapping[str, float] | None = None,
    ) -> int:
        """Take the active key as it is; write history and serve. The epoch."""
        epoch = await self.write(put(self.keys.active, self.record.encode(), self.lease))
        if not self.ours:
            return epoch
        await self.say(phase=Phase.ACTIVE, ready=False, epoch=epoch, serve_age_ms=40)
        entry = Takeover(
            epoch=epoch,
            server_id=self.server_id,
            address=self.status.address,
            from_server_id=former.server_id if former else 0,
            from_address=former.status.address if former else "",
            cause=cause,
            at_ms=time.time_ns() // 1_000_000,
        )
        await self.write(put(self.keys.takeover(epoch), entry.encode()))
        served = replace(entry, phases=phases or {"claim": 1.2, "serve": 8.4}, served=True)
        await self.write(put(self.keys.takeover(epoch), served.encode()))
        return epoch

    async def stand_by(self) -> None:
        await self.say(phase=Phase.STANDBY, ready=True, epoch=0, serve_age_ms=None)

    async def keep_saying(self) -> None:
        """Until cancelled."""
        while True:
            await self.say()
            await asyncio.sleep(EVERY_S)

    async def requests(self) -> AsyncIterator[tuple[KeyValue, SwitchoverRequest]]:
        """Each request that is asked, without end."""
        found = await self.etcd.get(self.keys.switchover)
        kvs = [found.kv] if found.kv else []
        watch = self.etcd.watch(self.keys.switchover, start_revision=found.revision + 1)
        async with aclosing(watch) as batches:
            while True:
                for kv in kvs:
                    if (
                        kv.value
                        and (w := SwitchoverRequest.decode(kv.key, kv.value)).state.value == "asked"
                    ):
                        yield kv, w
                kvs = [event.kv for event in (await anext(batches)).events]

    async def answer(
        self, kv: KeyValue, request: SwitchoverRequest, state: RequestState, why: str = ""
    ) -> None:
        """Put the same record on the asker's lease, with the answer in it."""
        said = replace(request, state=state, why=why)
        await self.write(put(kv.key, said.encode(), kv.lease))

    async def leave(self) -> None:
        """End the lease and all keys on it."""
        await self.etcd.lease_revoke(self.lease)

    async def forget(self) -> None:
        """Delete the instance key and the status by hand."""
        keys = self.keys
        await self.write(delete(keys.instance(self.server_id)), delete(keys.status(self.server_id)))


@asynccontextmanager
async def saying(*instances: FakeInstance) -> AsyncIterator[None]:
    """While inside, all of them write their status again and again."""
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(one.keep_saying(), name=f"fake {one.server_id}") for one in instances
        ]
        yield
        for task in running:
            task.cancel()


async def fake_pair(etcd: Etcd, role: str = "rootcoord") -> tuple[FakeInstance, FakeInstance]:
    """7 leads, 8 is a ready standby; nobody says anything more by itself."""
    keys = Keys(META_ROOT, role)
    a, b = (FakeInstance(etcd, keys, status_of(number)) for number in (7, 8))
    await a.join()
    await b.join()
    await a.lead()
    return a, b
