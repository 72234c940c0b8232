"""Switchover on request: the active refuses an operator's request, or follows it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.txn import mod_revision_is, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.election.decisions import why_refused
from milvus_coord.ha.election.fence import ConditionFailed
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import RequestState, SwitchoverRequest
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.race import first_of
from milvus_coord.telemetry.log import log

_ANSWER_S: Final = 2.0


class SwitchoverHandler:
    """Watches the switchover key during one term."""

    def __init__(self, clock: Clock, keys: Keys, pair: PairState) -> None:
        self._clock, self._keys, self._pair = clock, keys, pair

    async def wait(self, term: Term, stop: asyncio.Event) -> SwitchoverRequest | None:
        """Wait for a request that is accepted, or for `stop`, which goes first: None then."""
        return await first_of(_set(stop), self.accepted(term), name="ha.switchover")

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
        ready = self._pair.ready(besides=term.server_id)
        why = why_refused(request, self._pair.snapshot, term.server_id, term.epoch, ready)
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


async def _set(stop: asyncio.Event) -> SwitchoverRequest | None:
    await stop.wait()
    return None
