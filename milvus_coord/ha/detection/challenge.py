"""D5: ask the active through etcd whether it can still write, and answer when asked."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Txn, mod_revision_is, put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.challenge_record import Nonce
from milvus_coord.ha.detection.etcd_latency import Pace
from milvus_coord.ha.election.session import Session
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.pair_state import Board
from milvus_coord.model.errors import BadValue
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.telemetry.log import log

WAIT_S_MAX: Final = 2.0
"""However slow etcd is, it lends an active no more: one that cannot write for so long is no use."""

_PACES_BORNE: Final = 2
_OVERSLEPT_S: Final = 0.2
_ASK_S: Final = 1.0
_ANSWER_S: Final = 1.0
_AGAIN_S: Final = 0.1


class Outcome(Enum):
    """`VOID` proves nothing: etcd or our own loop was too slow, or K has changed meanwhile."""

    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Reply:
    """How a challenge ended; while the answer key is at `answer_revision` it is unanswered."""

    outcome: Outcome
    answer_revision: int = 0


class Challenger:
    """Asks from one session; `wait_s` is how long the active has, on an etcd that is fast."""

    def __init__(
        self,
        etcd: Etcd,
        clock: Clock,
        keys: Keys,
        board: Board,
        session: Session,
        pace: Pace,
        *,
        wait_s: float,
    ) -> None:
        self._etcd, self._clock, self._keys, self._board = etcd, clock, keys, board
        self._session, self._pace, self._wait_s = session, pace, wait_s

    async def ask(self, epoch: int) -> Reply:
        """Challenge the leader of `epoch` and wait.

        The last look at the answer is a linearizable read, so that a watch which lags convicts
        nobody.
        """
        me = self._session.record.server_id
        nonce = Nonce(secrets.token_hex(8), epoch)
        asking = Txn(
            (mod_revision_is(self._keys.active, epoch),),
            (put(self._keys.challenge(me), nonce.encode(), self._session.lease),),
        )
        try:
            asked = await self._pace.timed(self._etcd.txn(asking, timeout_s=_ASK_S))
            if not asked.succeeded:
                return Reply(Outcome.VOID)
            await failpoint("after_challenge")
            overslept_s = await self._wait(nonce)
            answer = (
                await self._pace.timed(self._etcd.get(self._keys.answer(me), timeout_s=_ASK_S))
            ).kv
        except EtcdError as error:
            log.debug("challenge not put to the active", error=str(error))
            return Reply(Outcome.VOID)
        if answer is not None and _nonce(answer) == nonce:
            return Reply(Outcome.ANSWERED, answer.mod_revision)
        if overslept_s > _OVERSLEPT_S:
            return Reply(Outcome.VOID)
        return Reply(Outcome.UNANSWERED, answer.mod_revision if answer else 0)

    async def _wait(self, nonce: Nonce) -> float:
        """Until the answer is heard, or the time is up; by how much more we slept, in seconds."""
        key = self._keys.answer(self._session.record.server_id)
        pace_s = max(self._pace.typical_s, self._pace.last_s)  # the last was the asking
        wait_s = max(self._wait_s, min(_PACES_BORNE * pace_s, WAIT_S_MAX))
        until_s = self._clock.boottime() + wait_s
        waiting = asyncio.create_task(self._heard(key, nonce), name="ha.challenge.heard")
        sleeping = asyncio.create_task(self._clock.sleep(wait_s), name="ha.challenge.time")
        try:
            await asyncio.wait((waiting, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            sleeping.cancel()
            await asyncio.wait((waiting, sleeping))
        return self._clock.boottime() - until_s

    async def _heard(self, key: bytes, nonce: Nonce) -> None:
        while self._board.answers.get(key) != nonce:
            await self._board.changed.wait()


class Answerer:
    """Answers challenges to one term by guarded writes: that they go through is the answer."""

    def __init__(self, keys: Keys, board: Board, clock: Clock) -> None:
        self._keys, self._board, self._clock = keys, board, clock

    async def run(self, term: Term, lease: int, told: Callable[[], None]) -> None:
        """Answer until cancelled; `told` is called for each. Raises FencedOff."""
        answered: dict[int, Nonce] = {}
        while True:
            seen = self._board.changed.version()
            open_ones = [
                (server_id, nonce)
                for server_id, nonce in self._asked()
                if nonce.epoch == term.epoch and answered.get(server_id) != nonce
            ]
            for server_id, nonce in open_ones:
                if await self._answer(term, server_id, nonce, lease):
                    answered[server_id] = nonce
                    told()
            if all(answered.get(server_id) == nonce for server_id, nonce in open_ones):
                await self._board.changed.wait(since=seen)
            else:
                await self._clock.sleep(_AGAIN_S)

    def _asked(self) -> Iterator[tuple[int, Nonce]]:
        for key, nonce in self._board.challenges.items():
            server_id = key[len(self._keys.challenges) :]
            if server_id.isdigit():
                yield int(server_id), nonce

    async def _answer(self, term: Term, server_id: int, nonce: Nonce, lease: int) -> bool:
        reply = put(self._keys.answer(server_id), nonce.encode(), lease)
        try:
            await term.fence.commit(reply, timeout_s=_ANSWER_S)
        except EtcdError as error:
            log.warn("a challenge could not be answered", by=server_id, error=str(error))
            return False
        log.info("answered a challenge", by=server_id)
        return True


def _nonce(kv: KeyValue) -> Nonce | None:
    try:
        return Nonce.decode(kv.key, kv.value)
    except BadValue:
        return None
