"""Ask the active through etcd whether it can still write, and answer when asked."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, mod_revision_is, put
from milvus_coord.ha.detection.decisions import Outcome, Reply, answer_wait_s, reply_of, unanswered
from milvus_coord.ha.detection.etcd_latency import EtcdLatency
from milvus_coord.ha.election.session import Session
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import first_of
from milvus_coord.telemetry.log import log

_ASK_S: Final = 1.0
_ANSWER_S: Final = 1.0
_AGAIN_S: Final = 0.1


class Challenger:
    """Asks from one session; `wait_s` is how long the active has, on an etcd that is fast."""

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        keys: Keys,
        pair: PairState,
        session: Session,
        latency: EtcdLatency,
        *,
        wait_s: float,
    ) -> None:
        self._etcd, self._clock, self._keys, self._pair = etcd, clock, keys, pair
        self._session, self._etcd_latency, self._wait_s = session, latency, wait_s

    async def ask(self, epoch: int) -> Reply:
        """Challenge the leader of `epoch` and wait.

        At the end the answer is read linearizably: a watch that lags must replace nobody.
        """
        me = self._session.record.server_id
        challenge = Challenge(secrets.token_hex(8), epoch)
        asking = Txn(
            (mod_revision_is(self._keys.active, epoch),),
            (put(self._keys.challenge(me), challenge.encode(), self._session.lease),),
        )
        try:
            asked = await self._etcd_latency.timed(self._etcd.txn(asking, timeout_s=_ASK_S))
            if not asked.succeeded:
                return Reply(Outcome.VOID)
            await failpoint("after_challenge")
            overslept_s = await self._wait(challenge)
            answer = (
                await self._etcd_latency.timed(
                    self._etcd.get(self._keys.answer(me), timeout_s=_ASK_S)
                )
            ).kv
        except EtcdError as error:
            log.debug("challenge not put to the active", error=str(error))
            return Reply(Outcome.VOID)
        return reply_of(challenge, answer, overslept_s)

    async def _wait(self, challenge: Challenge) -> float:
        """Until the answer is heard, or the time is up; by how much more we slept, in seconds."""
        latency = self._etcd_latency  # the last call was the asking
        wait_s = answer_wait_s(self._wait_s, latency.typical_s, latency.last_s)
        until_s = self._clock.boottime() + wait_s
        await first_of(self._heard(challenge), self._clock.sleep(wait_s), name="ha.challenge")
        return self._clock.boottime() - until_s

    async def _heard(self, challenge: Challenge) -> None:
        me = self._session.record.server_id
        while self._pair.snapshot.answers.get(me) != challenge:
            await self._pair.changed.wait()


class Answerer:
    """Answers challenges to one term by guarded writes: that they go through is the answer."""

    def __init__(self, keys: Keys, pair: PairState, clock: Clock) -> None:
        self._keys, self._pair, self._clock = keys, pair, clock

    async def run(self, term: Term, lease: int, told: Callable[[], None]) -> None:
        """Answer until cancelled; `told` is called for each. Raises FencedOff."""
        answered: dict[int, Challenge] = {}
        while True:
            seen = self._pair.changed.version()
            asked = unanswered(self._pair.snapshot.challenges, term.epoch, answered)
            for server_id, challenge in asked:
                if await self._answer(term, server_id, challenge, lease):
                    answered[server_id] = challenge
                    told()
            if all(answered.get(server_id) == challenge for server_id, challenge in asked):
                await self._pair.changed.wait(since=seen)
            else:
                await self._clock.sleep(_AGAIN_S)

    async def _answer(self, term: Term, server_id: int, challenge: Challenge, lease: int) -> bool:
        reply = put(self._keys.answer(server_id), challenge.encode(), lease)
        try:
            await term.fence.commit(reply, timeout_s=_ANSWER_S)
        except EtcdError as error:
            log.warn("a challenge could not be answered", by=server_id, error=str(error))
            return False
        log.info("answered a challenge", by=server_id)
        return True
