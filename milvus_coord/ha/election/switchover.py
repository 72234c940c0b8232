"""Switchover on request: the active takes a person's wish, and refuses or follows it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.txn import mod_revision_is, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.election.fence import ConditionFailed
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import Switchover, WishState
from milvus_coord.ha.pair.pair_state import Board
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log

_ANSWER_S: Final = 2.0


class Switching:
    """Watches the wish of the board during one term."""

    def __init__(self, clock: Clock, keys: Keys, board: Board) -> None:
        self._clock, self._keys, self._board = clock, keys, board

    async def accepted(self, term: Term) -> Switchover:
        """Return the wish that we have promised to follow. Raises FencedOff."""
        answered = 0
        while True:
            seen = self._board.changed.version()
            found = self._board.wish
            if found is not None:
                kv, wish = found
                asked = wish.state is WishState.ASKED and kv.mod_revision > answered
                if asked and (outcome := await self._answer(term, kv, wish)) is not None:
                    answered = kv.mod_revision
                    if outcome.state is WishState.ACCEPTED:
                        return outcome
            await self._board.changed.wait(since=seen)

    async def _answer(self, term: Term, kv: KeyValue, wish: Switchover) -> Switchover | None:
        """Write what becomes of the wish; None when that failed."""
        why = self._against(term, wish)
        state = WishState.REFUSED if why else WishState.ACCEPTED
        outcome = replace(wish, state=state, why=why)
        writing = put(kv.key, outcome.encode(), kv.lease)
        unchanged = (mod_revision_is(kv.key, kv.mod_revision),)
        try:
            await term.fence.commit(writing, when=unchanged, timeout_s=_ANSWER_S)
        except ConditionFailed:
            return None
        except EtcdError as error:
            log.warn("a wish to switch over could not be answered", by=wish.by, error=str(error))
            return None
        if why:
            log.warn("switchover refused", by=wish.by, to=wish.to or "any", why=why)
        else:
            log.info("switching over", by=wish.by, to=wish.to or "any")
        return outcome

    def _against(self, term: Term, wish: Switchover) -> str:
        """Why the wish cannot be followed; empty when it can."""
        if wish.epoch != term.epoch:
            return f"server {term.server_id} leads by now, in epoch {term.epoch}"
        if self._board.pause is not None:
            return f"paused by {self._board.pause.by}"
        ready = self._board.ready(besides=term.server_id)
        if wish.to and wish.to not in ready:
            return f"server {wish.to} is no standby that is ready"
        if not ready:
            return "no standby is ready"
        return ""


async def first_of(stop: asyncio.Event, wish: asyncio.Task[Switchover]) -> Switchover | None:
    """Wait for either; None when it is the stop request."""
    stopped = asyncio.create_task(stop.wait(), name="ha.told.stop")
    try:
        await asyncio.wait((stopped, wish), return_when=asyncio.FIRST_COMPLETED)
        return None if stop.is_set() else wish.result()
    finally:
        stopped.cancel()
        await asyncio.wait((stopped,))
