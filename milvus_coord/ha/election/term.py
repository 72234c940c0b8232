"""One leadership, from the transaction that won the active key to the end of its scope."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.decisions import is_ours, why_deposed
from milvus_coord.ha.election.fence import Fence
from milvus_coord.ha.election.phases import Phases
from milvus_coord.ha.election.serve_lease import ServeLease
from milvus_coord.ha.election.session import Session
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.model.errors import CoordError
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log


class Deposed(CoordError):
    """Leadership has ended or can no longer be proven; the text says by what sign."""


@dataclass(frozen=True, slots=True)
class Term:
    """What a leader holds: `epoch` is the revision that won the active key.

    `predecessor_stopped_at` is the boot time (s) from which a predecessor can no longer be
    answering. Until then nothing may be done that etcd cannot fence. `phases` tells the history how
    long it took, `first_answers_done` is set a moment after the term serves: what can wait begins
    then.
    """

    server_id: int
    epoch: int
    fence: Fence
    serve: ServeLease
    predecessor_stopped_at: float
    phases: Phases
    first_answers_done: asyncio.Event


class Leader(Protocol):
    """What a role does with a term."""

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why a term could not begin at once; empty when it could."""

    @property
    def lacks(self) -> tuple[str, ...]:
        """What a term would miss; it could begin, but another one should lead if there is one."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What the term that runs has not been able to do for a while, or misses."""

    @property
    def has_port(self) -> bool:
        """Whether the port is ours to listen on; without it a term would be in vain."""

    @property
    def mirror(self) -> Mirror[Any] | None:
        """What the role keeps of etcd; None until it is loaded."""

    async def listen(self, term: Term) -> None:
        """Listen on the port, and let those who connect wait."""

    async def recover(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        """Catch up with etcd, run the parts of a term in `tasks`, return when it could serve."""

    async def admit(self) -> None:
        """Answer those who have connected meanwhile, and all who will."""

    async def finish(self) -> None:
        """Refuse new work, and return when what runs has ended: nothing unfenced happens after."""

    async def abandon(self) -> None:
        """Close the port and drop what is left, at once; also after a failed `recover`."""


class Guards:
    """The signs by which a term ends; each guard raises Deposed into the term's scope."""

    def __init__(
        self, etcd: Etcd, clock: Clock, keys: Keys, pair: PairState, session: Session
    ) -> None:
        self._etcd, self._clock, self._keys = etcd, clock, keys
        self._pair, self._session = pair, session

    def start(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        """Let all guards run in the scope of the term."""
        tasks.create_task(self._key(term), name="ha.guard.key")
        tasks.create_task(self._fence(term), name="ha.guard.fence")
        tasks.create_task(self._lease(), name="ha.guard.lease")
        tasks.create_task(self._serve(term), name="ha.guard.serve")

    async def _key(self, term: Term) -> None:
        """The key was changed since: by hand, by its lease's end, by a successor."""
        while (why := why_deposed(self._keys, self._pair.snapshot, term.epoch)) is None:
            await self._pair.changed.wait()
        raise Deposed(why)

    async def _fence(self, term: Term) -> None:
        await term.fence.broken.wait()
        raise Deposed("a guarded write was refused")

    async def _lease(self) -> None:
        """The session lease may be gone by our own clock, whether or not etcd can be asked."""
        while (left_s := self._session.good_until - self._clock.boottime()) > 0:
            await self._clock.sleep(left_s)
        raise Deposed(f"the session lease was not renewed for {self._session.ttl_s} s")

    async def _serve(self, term: Term) -> None:
        """Prove leadership by reading the active key, four times within each serve lease."""
        serve, lapsed = term.serve, False
        while True:
            await self._clock.sleep(serve.renew_every_s)
            sent_at = self._clock.boottime()
            try:
                active = (
                    await self._etcd.get(self._keys.active, timeout_s=2 * serve.renew_every_s)
                ).kv
            except EtcdError as error:
                if not serve.holds and not lapsed:
                    lapsed = True
                    log.warn("serve lease lapsed, refusing requests", error=str(error))
                continue
            if not is_ours(active, term.epoch):
                raise Deposed(f"{self._keys.active.decode()} is no longer ours")
            serve.prove(sent_at)
            if lapsed:
                lapsed = False
                log.info("serve lease renewed, answering again")
