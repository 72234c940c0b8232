"""Switchover on request: the active refuses an operator's request, or follows it."""

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
from milvus_coord.ha.pair.operator_records import RequestState, SwitchoverRequest
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.log import log

_ANSWER_S: Final = 2.0


class SwitchoverHandler:
    """Watches the switchover key during one term."""

    def __init__(self, clock: Clock, keys: Keys, pair: PairState) -> None:
        self._clock, self._keys, self._pair = clock, keys, pair

    async def accepted(self, term: Term) -> SwitchoverRequest:
        """Return the request that we have promised to follow. Raises FencedOff."""
        answered = 0
        while True:
            seen = self._pair.changed.version()
            kv, request = self._pair.snapshot.switchover, self._pair.snapshot.request
            if kv is not None and request is not None:
                asked = request.state is RequestState.ASKED and kv.mod_revision > answered
                if asked and (outcome := await self._answer(term, kv, request)) is not None:
                    answered = kv.mod_revision
                    if outcome.state is RequestState.ACCEPTED:
                        return outcome
            await self._pair.changed.wait(since=seen)

    async def _answer(
        self, term: Term, kv: KeyValue, request: SwitchoverRequest
    ) -> SwitchoverRequest | None:
        """Write what becomes of the request; None when that failed."""
        why = self._against(term, request)
        state = RequestState.REFUSED if why else RequestState.ACCEPTED
        outcome = replace(request, state=state, why=why)
        writing = put(kv.key, outcome.encode(), kv.lease)
        unchanged = (mod_revision_is(kv.key, kv.mod_revision),)
        try:
            await term.fence.commit(writing, when=unchanged, timeout_s=_ANSWER_S)
        except ConditionFailed:
            return None
        except EtcdError as error:
            log.warn(
                "a request to switch over could not be answered", by=request.by, error=str(error)
            )
            return None
        if why:
            log.warn("switchover refused", by=request.by, to=request.to or "any", why=why)
        else:
            log.info("switching over", by=request.by, to=request.to or "any")
        return outcome

    def _against(self, term: Term, request: SwitchoverRequest) -> str:
        """Why the request cannot be followed; empty when it can."""
        if request.epoch != term.epoch:
            return f"server {term.server_id} leads by now, in epoch {term.epoch}"
        if self._pair.snapshot.pause is not None:
            return f"paused by {self._pair.snapshot.pause.by}"
        ready = self._pair.ready(besides=term.server_id)
        if request.to and request.to not in ready:
            return f"server {request.to} is no standby that is ready"
        if not ready:
            return "no standby is ready"
        return ""


async def first_of(
    stop: asyncio.Event, request: asyncio.Task[SwitchoverRequest]
) -> SwitchoverRequest | None:
    """Wait for either; None when it is the stop request."""
    stopped = asyncio.create_task(stop.wait(), name="ha.told.stop")
    try:
        await asyncio.wait((stopped, request), return_when=asyncio.FIRST_COMPLETED)
        return None if stop.is_set() else request.result()
    finally:
        stopped.cancel()
        await asyncio.wait((stopped,))
