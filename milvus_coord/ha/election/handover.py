"""Give the active key up with consent: to a ready standby of ours, or to the first to claim it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Final

from milvus_coord.etcd.errors import EtcdError, LeaseNotFound
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Op, Txn, delete, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.election.context import HaContext
from milvus_coord.ha.election.decisions import ended_state, take_back
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.model.errors import FencedOff
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.race import within
from milvus_coord.runtime.retry import Retry
from milvus_coord.telemetry.log import log

ACCEPT_S: Final = 0.5
HEIR_SERVES_S: Final = 0.25
RELEASE_S: Final = 1.0


class HandOver:
    """Ends a term from the leader's side; to be used when all its unfenced effects have ended.

    `refuses_since_s` is since when the leader takes no work any more (boot time, s).
    """

    def __init__(self, context: HaContext) -> None:
        self._etcd, self._clock, self._keys = context.etcd, context.clock, context.keys
        self._settings, self._pair = context.settings, context.pair
        self.refuses_since_s: float | None = None

    async def to_heir(self, term: Term, ready: list[int], why: Cause) -> bool:
        """Put the active key under the lease of the first of `ready` that takes it.

        An heir that does not claim the active key within half a second loses it again, so that any
        standby may win. False when nobody was given it.
        """
        for server_id in ready:
            instance = self._pair.snapshot.sessions.get(server_id)
            if instance is None or instance.record is None or not instance.kv.lease:
                continue  # no Go client could decode an active key that holds junk
            heir = instance.kv
            try:
                given = await term.fence.commit(
                    put(self._keys.active, heir.value, lease=heir.lease), self._note(term, why)
                )
            except FencedOff:
                return False
            except EtcdError as error:
                log.warn("hand-over refused, trying another", heir=server_id, error=str(error))
                continue
            log.info("handed over", heir=server_id, epoch=term.epoch)
            await self._see_it_taken(heir, given.revision)
            return True
        return False

    async def see_it_serve(self, term: Term) -> None:
        """Wait until the heir serves, a quarter of a second at most.

        What comes next, tearing down a process for one, would cost the heir processor time just
        when clients wait for it.
        """
        serving = _serving_after(term.epoch, self._pair)
        with suppress(TimeoutError):
            await within(HEIR_SERVES_S, serving, clock=self._clock, name="ha.heir_serves")
            log.info("the heir serves", epoch=term.epoch)

    async def release(self, term: Term, why: Cause) -> None:
        """Delete the active key and note that this term has ended; gives up after a second."""
        ops = delete(self._keys.active), self._note(term, why)
        try:
            await term.fence.commit(*ops, timeout_s=RELEASE_S)
        except FencedOff:
            return
        except EtcdError as error:
            log.warn(
                "the active key not given up, it goes with the session lease", error=str(error)
            )
        else:
            log.info("released the ACTIVE key", epoch=term.epoch)

    def _note(self, term: Term, why: Cause) -> Op:
        """That we have stopped; but while the leader before us may serve, it is not said."""
        now_s, since_s = self._clock.boottime(), self.refuses_since_s
        state = ended_state(now_s, term.predecessor_stopped_at)
        over = replace(
            self._settings.leadership(term.server_id, state, why.value),
            stop_ms=None if since_s is None else round((now_s - since_s) * 1000),
            at_ms=self._clock.wall_ns() // 1_000_000,
        )
        return put(self._keys.leadership, over.encode())

    async def _see_it_taken(self, heir: KeyValue, given_at: int) -> None:
        """Take the active key back from an heir that does not react, a frozen one for instance."""
        taken = self._taken_after(given_at)
        try:
            await within(ACCEPT_S, taken, clock=self._clock, name="ha.heir_takes")
        except TimeoutError:
            log.warn("the heir did not take over, releasing the ACTIVE key", heir=heir.key.decode())
            back = Txn(take_back(self._keys, given_at), (delete(self._keys.active),))
            try:
                await self._etcd.txn(back, timeout_s=RELEASE_S)
            except EtcdError as error:
                log.warn("the active key stays with the heir's lease", error=str(error))

    async def _taken_after(self, given_at: int) -> None:
        while self._pair.snapshot.active_revision <= given_at:
            await self._pair.changed.wait()


async def _serving_after(epoch: int, pair: PairState) -> None:
    while not any(later.served and later.epoch > epoch for later in pair.snapshot.history):
        await pair.changed.wait()


async def revoke_predecessor_lease(
    etcd: Etcd, clock: Clock, lease: int, first_answers_done: asyncio.Event
) -> None:
    """End the session lease of one who was replaced, so that its instance key goes.

    Once the first answers are done: until then clients wait, and a term that fails leaves it to the
    lease's own end.
    """
    await first_answers_done.wait()
    retry = Retry(clock, "end the lease of the one before us", on=(EtcdError,))

    async def revoke() -> None:
        try:
            await etcd.lease_revoke(lease, timeout_s=1.0)
        except LeaseNotFound:
            return

    await retry.run(revoke)
