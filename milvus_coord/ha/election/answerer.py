"""Answer the standbys who ask through etcd whether this leader can still write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.txn import put
from milvus_coord.ha.detection.decisions import unanswered
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.say_seldom import SaySeldom
from milvus_coord.telemetry.log import log

_ANSWER_S: Final = 1.0
_AGAIN_S: Final = 0.1


class Answerer:
    """Answers challenges to one term by guarded writes: that they go through is the answer."""

    def __init__(self, keys: Keys, pair: PairState, clock: Clock) -> None:
        self._keys, self._pair, self._clock = keys, pair, clock
        self._answers = SaySeldom(clock)

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
            if (unsaid := self._answers.due(type(error).__name__)) is not None:
                log.warn(
                    "a challenge could not be answered",
                    by=server_id,
                    error=str(error),
                    unsaid=unsaid,
                )
            return False
        if (unsaid := self._answers.due("answered")) is not None:
            log.info("answered a challenge", by=server_id, unsaid=unsaid)
        return True
