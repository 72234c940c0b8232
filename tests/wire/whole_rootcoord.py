"""All of RootCoord over the etcd twin: real parts, real sockets, coordinators that agree to all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from grpclib.const import Handler

from milvus_coord.config import Settings
from milvus_coord.coordinators.rootcoord.role import build
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.phases import Phases
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.states import Phase
from milvus_coord.mq.settings import MemorySettings
from milvus_coord.pb.milvus.proto.common import Status
from milvus_coord.pb.milvus.proto.data import DataCoordBase
from milvus_coord.pb.milvus.proto.index import IndexCoordBase
from milvus_coord.pb.milvus.proto.query import QueryCoordBase
from milvus_coord.role.shape import RoleContext
from milvus_coord.rpc.port import ReservedPort
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.runtime.clock import SystemClock
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.telemetry.metrics import Metrics
from milvus_coord.wire.codec import WireCodec
from milvus_coord.wire.status import ok

OWN_ID: Final = 1
OTHERS_ID: Final = 2
FOR_EVER_S: Final = 1e9
BEGIN_S: Final = 20.0


class Agreeing:
    """Answers every RPC of a generated service with Success."""

    def __init__(self, base: Any) -> None:
        self._handlers: dict[str, Handler] = base.__mapping__()

    def __mapping__(self) -> dict[str, Handler]:
        return {path: _agree(handler) for path, handler in self._handlers.items()}


def _agree(handler: Handler) -> Handler:
    reply: Any = handler.reply_type

    async def agree(stream: Any) -> None:
        await stream.recv_message()
        has_status = "status" in reply.__dataclass_fields__
        await stream.send_message(
            ok() if reply is Status else reply(status=ok()) if has_status else reply()
        )

    return handler._replace(func=agree)


@dataclass(frozen=True)
class WholeRootCoord:
    """One active RootCoord. `services` are all that it serves."""

    etcd: MemoryEtcd
    services: Sequence[Service]
    settings: Settings

    def stored(self) -> dict[bytes, bytes]:
        """All that requests may change in etcd; the allocators' bounds move by themselves."""
        found: Mapping[bytes, bytes] = {
            kv.key: kv.value for kv in self.etcd.store.range(b"\x00", b"\x00")
        }
        own = (b"/ha/rootcoord/mark", b"/tso/timestamp", b"/gid/idTimestamp")
        return {key: value for key, value in found.items() if not key.endswith(own)}


@asynccontextmanager
async def whole_rootcoord(stored: Mapping[bytes, bytes]) -> AsyncIterator[WholeRootCoord]:
    """Lead until the block ends, over what an earlier one has stored."""
    clock = SystemClock()
    etcd = MemoryEtcd(clock)
    for key, value in stored.items():
        await etcd.txn(Txn((), (put(key, value),)))
    settings = Settings(mq={"type": "memory"})  # type: ignore[arg-type] # as a file says it
    meta_root = settings.etcd.meta_root
    lifecycle = Lifecycle(clock)
    lifecycle.server_id = OWN_ID
    async with _others(etcd, meta_root):
        role = build(
            RoleContext(
                settings, "127.0.0.1:1", etcd, clock, Metrics(), lifecycle, MemorySettings()
            )
        )
        following = asyncio.create_task(role.mirror.run(), name="bench.follow")
        try:
            term = await _elect(etcd, meta_root, clock)
            for phase in (Phase.STANDBY, Phase.ACTIVATING):
                lifecycle.to(phase, epoch=term.epoch)
            served: asyncio.Queue[Sequence[Service]] = asyncio.Queue()
            working = asyncio.create_task(
                role.new_term(term).run(served.put_nowait), name="bench.work"
            )
            serving = asyncio.create_task(served.get(), name="bench.serving")
            try:
                pair: set[asyncio.Task[Any]] = {working, serving}
                await asyncio.wait(pair, timeout=BEGIN_S, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
                assert serving.done(), f"no term began within {BEGIN_S} s"
                lifecycle.to(Phase.ACTIVE)
                yield WholeRootCoord(etcd, serving.result(), settings)
            finally:
                await cancel_and_wait(serving)
                await cancel_and_wait(working)
        finally:
            await cancel_and_wait(following)


async def _elect(etcd: MemoryEtcd, meta_root: str, clock: SystemClock) -> Term:
    active = Keys(meta_root, "rootcoord").active
    won = await etcd.txn(Txn((), (put(active, b"{}"),)))
    fence = Fence(etcd, active, 0, won.revision)
    serve = ServeLease(clock, FOR_EVER_S, clock.boottime())
    first_answers_done = asyncio.Event()
    first_answers_done.set()
    return Term(
        OWN_ID,
        won.revision,
        fence,
        serve,
        predecessor_stopped_at=0.0,
        phases=Phases(clock),
        first_answers_done=first_answers_done,
    )


@asynccontextmanager
async def _others(etcd: MemoryEtcd, meta_root: str) -> AsyncIterator[None]:
    """The other coordinators, at one address."""
    bases = (DataCoordBase(), QueryCoordBase(), IndexCoordBase())
    server = RpcServer(
        [Agreeing(base) for base in bases],
        codec=WireCodec(),
        limits=Limits(),
        guards=Guards("by-dev", lambda: OTHERS_ID),
    )
    with ReservedPort.bind("127.0.0.1", 0) as reserved:
        await server.listen(reserved)
        address = f"127.0.0.1:{reserved.address[1]}"
        try:
            for role in ("datacoord", "querycoord", "indexcoord"):
                session = SessionRecord(OTHERS_ID, role, address).encode()
                await etcd.txn(Txn((), (put(Keys(meta_root, role).active, session),)))
            yield
        finally:
            await server.abort()
