"""The servers of a role, one for each term: its services, and beats for its standbys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from milvus_coord.ha.election.term import Term
from milvus_coord.role.shape import Coordinator
from milvus_coord.role.warmup import warm_up_calls, warm_up_messages
from milvus_coord.rpc.heartbeat.message import Beat
from milvus_coord.rpc.heartbeat.service import BeatService
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.rpc.server.guards import Guards
from milvus_coord.rpc.server.limits import Limits
from milvus_coord.rpc.server.server import RpcServer
from milvus_coord.rpc.tls import ServerTls
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.watchdog import Pulse
from milvus_coord.wire.codec import WireCodec


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Of every server of a role; standbys get a beat each `beat_s` unless they ask otherwise."""

    cluster: str
    limits: Limits
    tls: ServerTls | None
    beat_s: float


class Servers:
    """Makes them; `pulse` tells standbys how the main loop does."""

    def __init__(
        self, coordinator: Coordinator, settings: ServerSettings, clock: Clock, pulse: Pulse
    ) -> None:
        """Learn every message of the role: takes long, call it in a thread."""
        self._coordinator, self._settings = coordinator, settings
        self._clock, self._pulse = clock, pulse
        self._codec = WireCodec(send_max_bytes=settings.limits.send_bytes_max)
        warm_up_messages(coordinator.contract.message_types(), self._codec)

    async def warm_up(self) -> None:
        """Answer each RPC once, with a refusal."""
        server = RpcServer(
            self._coordinator.waiting,
            codec=self._codec,
            limits=self._settings.limits,
            guards=Guards(self._settings.cluster, lambda: 0),
        )
        await warm_up_calls(server, [rpc.path for rpc in self._coordinator.contract.rpcs.values()])

    def of(self, term: Term) -> TermServer:
        """The server of one term. Until it is told otherwise, it answers that a term begins."""
        settings, began_s = self._settings, self._clock.boottime()

        def beat() -> Beat:
            # A stall before the term, such as a freeze that ended another one, tells nothing of it.
            lag_s = self._pulse.worst_lag_since_s(began_s)
            return Beat(term.server_id, term.epoch, lag_s, term.serve.age_s)

        beats = BeatService(self._clock, settings.beat_s, beat)
        rpc = RpcServer(
            (*self._coordinator.waiting, beats),
            codec=self._codec,
            limits=settings.limits,
            guards=Guards(settings.cluster, lambda: term.server_id),
            tls=settings.tls,
            admission=lambda path: None if path in beats.PATHS else term.serve.require(),
        )
        return TermServer(rpc, beats)


@dataclass(frozen=True, slots=True)
class TermServer:
    """Beats come from the port of the term as long as it lasts, whether or not it may serve."""

    rpc: RpcServer
    beats: BeatService

    def serve(self, services: Sequence[Service]) -> None:
        """From now on calls go to `services`."""
        self.rpc.serve_with((*services, self.beats))
