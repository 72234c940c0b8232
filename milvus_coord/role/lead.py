"""Lead with any role: its port listens and its services answer only while the term lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.role.requirements import Requirements
from milvus_coord.rpc.port import PortTaken, ReservedPort
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log

if TYPE_CHECKING:
    from milvus_coord.role.servers import Servers, TermServer
    from milvus_coord.role.shape import Coordinator
    from milvus_coord.role.term import RoleTerm
    from milvus_coord.rpc.server.dispatcher import Service

_PORT_CHECK_S: Final = 0.5
"""Seconds between checks: to find the process that holds a port, all are looked through."""

_ACCEPT_AFTER_S: Final = 0.05
"""Most takeovers serve by then: clients that connect before wait, and are answered, not refused.

Refusing costs about as much as serving, and impatient clients would hold up the takeover.
"""


class RoleLeader:
    """Implements `ha.election.term.Leader` for any role.

    Loading the role's code is most of a start, and the code is needed last: call `load` once the
    process stands by. Until then this instance is not ready to take over, and says so; a term that
    begins nevertheless, because there is no other instance, waits for it.

    Between terms the port is reserved: bound, so that no other process takes it, but not
    listening, so that connecting is refused.

    Args:
        make: loads the role; called in a thread.
        reserved: the port.
        requirements: what the role needs besides.
        finish_s: how long a hand-over waits for running requests.
    """

    def __init__(
        self,
        make: Callable[[], tuple[Coordinator, Servers]],
        clock: Clock,
        *,
        reserved: ReservedPort,
        finish_s: float,
        requirements: Requirements,
    ) -> None:
        self._make, self._clock, self._finish_s = make, clock, finish_s
        self._loaded: asyncio.Future[tuple[Coordinator, Servers]] = (
            asyncio.get_running_loop().create_future()
        )
        self._port = _Port(reserved, clock)
        self._requirements = requirements
        self._server: TermServer | None = None
        self._term: RoleTerm | None = None
        self._working: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Load. Raises what loading raises, which is a bug or a mistake in the settings."""
        coordinator, servers = await asyncio.to_thread(self._make)
        await servers.warm_up()
        self._loaded.set_result((coordinator, servers))

    async def follow(self) -> None:
        """Keep the mirror of etcd that the loaded role has, standby or active; never returns."""
        coordinator, _ = self._loaded.result()
        retry = Retry(self._clock, "follow the metadata", on=(EtcdError,), cap_s=5.0)
        await retry.run(coordinator.mirror.run)

    @property
    def mirror(self) -> Mirror[Any] | None:
        """What the role keeps of etcd; None until it is loaded."""
        return self._loaded.result()[0].mirror if self._loaded.done() else None

    @property
    def obstacles(self) -> tuple[str, ...]:
        if (mirror := self.mirror) is None:
            return ("the role's code is being loaded",)
        reasons = []
        if not self.has_port:
            reasons.append(self._port.trouble)
        if not mirror.synced:
            reasons.append("the metadata is not read yet")
        return tuple(reasons)

    @property
    def lacks(self) -> tuple[str, ...]:
        return self._requirements.unmet

    @property
    def troubles(self) -> tuple[str, ...]:
        of_term = self._term.troubles.now if self._term is not None else ()
        return (*of_term, *self._requirements.unmet)

    @property
    def has_port(self) -> bool:
        """Whether we could listen now; tries to reserve the port when it is not reserved."""
        if self._server is None and self._loaded.done():
            self._port.check()
        return not self._loaded.done() or self._port.is_ours

    async def listen(self, term: Term) -> None:
        """Listen once the role is loaded; who connects waits."""
        _, servers = await asyncio.shield(self._loaded)
        reserved = self._port.reserve()
        self._server = server = servers.of(term)
        await server.rpc.listen(reserved, accept=False)
        self._port.taken()
        await failpoint("after_listen")

    async def recover(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        """Run the role's term in `tasks`, and return when it could serve."""
        server, serving = self._server, asyncio.Event()
        assert server is not None, "nobody listens"

        def serve(services: Sequence[Service]) -> None:
            server.serve(services)
            serving.set()

        coordinator, _ = self._loaded.result()
        self._term = coordinator.new_term(term)
        self._working = tasks.create_task(self._term.run(serve), name="role.term")
        with suppress(TimeoutError):
            async with asyncio.timeout(_ACCEPT_AFTER_S):
                await serving.wait()
        if not serving.is_set():
            await server.rpc.accept()
            await serving.wait()

    async def admit(self) -> None:
        """Answer the clients that connected while the term began: they need not ask twice."""
        if self._server is not None:
            await self._server.rpc.accept()

    async def finish(self) -> None:
        if self._server is not None:
            await self._server.rpc.quiesce(self._finish_s, reason="handing over")
        if self._term is not None and self._working is not None:
            await self._term.finish()
            await cancel_and_wait(self._working)

    async def abandon(self) -> None:
        server, self._server = self._server, None
        self._term = None  # what it could not do is no trouble of the next one
        if server is not None:
            await server.rpc.abort()
        if self._loaded.done():
            self._port.try_to_reserve()


class _Port:
    """The role's port between terms; `trouble` is why it is not ours, "" when it is."""

    def __init__(self, reserved: ReservedPort, clock: Clock) -> None:
        self._reserved: ReservedPort | None = reserved
        self._number, self._clock = reserved.address[1], clock
        self._check_due_s = 0.0
        self.trouble = ""

    @property
    def is_ours(self) -> bool:
        return self._reserved is not None and not self.trouble

    def check(self) -> None:
        """Find out, now and then, whether it is still ours; reserve it when it is free again."""
        now_s = self._clock.boottime()
        if now_s >= self._check_due_s:
            self._check_due_s = now_s + _PORT_CHECK_S
            self.try_to_reserve()

    def try_to_reserve(self) -> None:
        try:
            self.reserve().check()
        except (PortTaken, OSError) as error:
            if str(error) != self.trouble:
                log.warn("the port is not ours between terms, trying again", error=str(error))
            self.trouble = str(error)
        else:
            self.trouble = ""

    def reserve(self) -> ReservedPort:
        """Hold the port. Raises PortTaken when another process listens there, OSError."""
        if self._reserved is None:
            self._reserved = ReservedPort.bind("", self._number)
        return self._reserved

    def taken(self) -> None:
        """A server listens on it now."""
        self._reserved = None
