"""Lead with any role: its port listens and its services answer only while the term lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.role.shape import Coordinator
from milvus_coord.role.warmup import warm_up_calls, warm_up_messages
from milvus_coord.rpc.heartbeat.service import Beat, BeatService
from milvus_coord.rpc.port import PortTaken, ReservedPort
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.watchdog import Pulse
from milvus_coord.telemetry.log import log
from milvus_coord.wire.codec import WireCodec

_PORT_CHECK_S: Final = 0.5
"""To find out who has taken a port means to look through all processes."""

_ACCEPT_AFTER_S: Final = 0.05
"""Most takeovers serve by then: who connects meanwhile waits, and is answered instead of refused.

Refusing costs about as much as serving, and clients in a hurry would hold up the takeover.
"""


class PortLeader:
    """Implements `ha.term.Leader` for a `Coordinator`.

    Between terms the port is reserved: bound, so that nobody else takes it, but not listening, so
    that connecting is refused; it comes to us so. `finish_s` bounds the wait for running requests
    at a hand-over. While a term lasts, beats for its standbys come from the same port, each
    `beat_s`, whether or not it may serve; `pulse` tells them how the main loop does.
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
        pulse: Pulse,
        beat_s: float,
    ) -> None:
        self._coordinator, self._clock = coordinator, clock
        self._pulse, self._beat_s = pulse, beat_s
        self._port_trouble, self._port_due_s = "", 0.0
        self._port, self._cluster = reserved.address[1], cluster
        self._limits, self._tls, self._finish_s = limits, tls, finish_s
        self._reserved: ReservedPort | None = reserved
        self._server: RpcServer | None = None
        self._working: asyncio.Task[None] | None = None
        self._codec = WireCodec(send_max_bytes=limits.send_bytes_max)
        warm_up_messages(coordinator.contract.message_types(), self._codec)

    @property
    def obstacles(self) -> tuple[str, ...]:
        reasons = []
        if not self.has_port:
            reasons.append(self._port_trouble)
        if not self._coordinator.ready:
            reasons.append("the metadata is not read yet")
        return tuple(reasons)

    @property
    def has_port(self) -> bool:
        """Whether we could listen now; tries to reserve the port when it is not reserved."""
        now_s = self._clock.boottime()
        if self._server is None and now_s >= self._port_due_s:
            self._port_due_s = now_s + _PORT_CHECK_S
            self._try_to_reserve()
        return self._reserved is not None and not self._port_trouble

    @property
    def mirror(self) -> Mirror[Any]:
        """What the role keeps of etcd."""
        return self._coordinator.mirror

    async def follow(self) -> None:
        """Let the role keep its mirror of etcd; never returns."""
        await self._coordinator.follow()

    async def warm_up(self) -> None:
        """Go the way of each call once, before clients wait at the end of it."""
        services = tuple(self._coordinator.waiting())
        server = RpcServer(
            services,
            codec=self._codec,
            limits=self._limits,
            guards=Guards(self._cluster, lambda: 0),
        )
        methods = [path for service in services for path in service.__mapping__()]
        await warm_up_calls(server, methods)

    async def activate(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        """Listen, let the role recover, and return when it could serve."""
        reserved = self._reserve()
        began_s = self._clock.boottime()
        beats = BeatService(self._clock, self._beat_s, lambda: self._beat(term, began_s))
        self._server = server = RpcServer(
            (*self._coordinator.waiting(), beats),
            codec=self._codec,
            limits=self._limits,
            guards=Guards(self._cluster, lambda: term.server_id),
            tls=self._tls,
            admission=lambda path: None if path in beats.PATHS else term.serve.require(),
        )
        await server.listen(reserved, accept=False)
        self._reserved = None
        await failpoint("after_listen")
        serving = asyncio.Event()

        def serve(services: Sequence[Service]) -> None:
            server.serve_with((*services, beats))
            serving.set()

        self._working = tasks.create_task(self._coordinator.work(term, serve), name="role.work")
        with suppress(TimeoutError):
            async with asyncio.timeout(_ACCEPT_AFTER_S):
                await serving.wait()
        if not serving.is_set():
            await server.accept()
            await serving.wait()

    async def admit(self) -> None:
        """Who waited while we activated is answered by an active, and need not ask twice."""
        if self._server is not None:
            await self._server.accept()

    async def finish(self) -> None:
        if self._server is not None:
            await self._server.quiesce(self._finish_s, reason="handing over")
        if self._working is not None:
            await self._coordinator.finish()
            await cancel_and_wait(self._working)

    async def abandon(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.abort()
        self._try_to_reserve()

    def _beat(self, term: Term, began_s: float) -> Beat:
        """A stall before the term, such as a freeze that ended another one, tells nothing of it."""
        lag_s = self._pulse.worst_lag_since_s(began_s)
        return Beat(term.server_id, term.epoch, lag_s, term.serve.age_s)

    def _try_to_reserve(self) -> None:
        try:
            self._reserve().check()
        except (PortTaken, OSError) as error:
            if str(error) != self._port_trouble:
                log.warn("the port is not ours between terms, trying again", error=str(error))
            self._port_trouble = str(error)
        else:
            self._port_trouble = ""

    def _reserve(self) -> ReservedPort:
        """Hold the port. Raises PortTaken when somebody listens there, OSError."""
        if self._reserved is None:
            self._reserved = ReservedPort.bind("", self._port)
        return self._reserved
