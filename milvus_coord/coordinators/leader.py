"""Lead with any role: its port listens and its services answer only while the term lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from milvus_coord.coordinators.shape import Coordinator
from milvus_coord.ha.term import Term
from milvus_coord.rpc.edge import Service
from milvus_coord.rpc.guards import Guards
from milvus_coord.rpc.limits import Limits
from milvus_coord.rpc.port import PortTaken, ReservedPort
from milvus_coord.rpc.server import RpcServer
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.race import end
from milvus_coord.telemetry.log import log
from milvus_coord.wire.codec import WireCodec


class PortLeader:
    """Implements `ha.term.Leader` for a `Coordinator`.

    Between terms the port is reserved: bound, so that nobody else takes it, but not listening, so
    that connecting is refused; it comes to us so. `finish_s` bounds the wait for running requests
    at a hand-over.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        clock: Clock,
        *,
        reserved: ReservedPort,
        cluster: str,
        limits: Limits,
        tls: ServerTls | None,
        finish_s: float,
    ) -> None:
        self._coordinator, self._clock = coordinator, clock
        self._port, self._cluster = reserved.address[1], cluster
        self._limits, self._tls, self._finish_s = limits, tls, finish_s
        self._reserved: ReservedPort | None = reserved
        self._server: RpcServer | None = None
        self._working: asyncio.Task[None] | None = None
        self._codec = WireCodec(send_max_bytes=limits.send_bytes_max)
        coordinator.rehearse(self._codec)

    @property
    def ready(self) -> bool:
        return self._reserved is not None and self._coordinator.ready

    async def follow(self) -> None:
        """Let the role keep its mirror of etcd; never returns."""
        await self._coordinator.follow()

    async def activate(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        """Listen, let the role recover, and return when it serves."""
        reserved = self._reserve()
        self._server = server = RpcServer(
            self._coordinator.waiting(),
            codec=self._codec,
            limits=self._limits,
            guards=Guards(self._cluster, lambda: term.server_id),
            tls=self._tls,
            admission=lambda _: term.serve.require(),
        )
        await server.listen(reserved)
        self._reserved = None
        serving = asyncio.Event()

        def serve(services: Sequence[Service]) -> None:
            server.serve_with(services)
            serving.set()

        self._working = tasks.create_task(self._coordinator.work(term, serve), name="role.work")
        await serving.wait()

    async def finish(self) -> None:
        if self._server is not None:
            await self._server.quiesce(self._finish_s, reason="handing over")
        if self._working is not None:
            await self._coordinator.finish()
            await end(self._working)

    async def abandon(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.abort()
        try:
            self._reserve()
        except (PortTaken, OSError) as error:
            log.warn("the port is not ours between terms, trying again later", error=str(error))

    def _reserve(self) -> ReservedPort:
        """Hold the port. Raises PortTaken when somebody listens there, OSError."""
        if self._reserved is None:
            self._reserved = ReservedPort.bind("", self._port)
        return self._reserved
