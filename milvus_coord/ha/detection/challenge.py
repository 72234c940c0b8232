"""Ask the active through etcd whether it can still write."""

from __future__ import annotations

import secrets
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, mod_revision_is, put
from milvus_coord.ha.detection.decisions import Outcome, Reply, answer_wait_s, reply_of
from milvus_coord.ha.detection.etcd_latency import EtcdLatency
from milvus_coord.ha.election.session import Session
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.runtime.race import first_of
from milvus_coord.telemetry.log import log

_ASK_S: Final = 1.0


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
