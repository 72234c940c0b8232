"""The product's own decisions, asked about the small world of the model.

Nothing is decided here: each method translates, asks `milvus_coord.ha`, and remembers the answer,
for the same question comes up in thousands of worlds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

from milvus_coord.etcd.txn import Compare
from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection import decisions as detection
from milvus_coord.ha.detection.decisions import Next, Outcome, Reply
from milvus_coord.ha.detection.replacement import ReplacementOrder
from milvus_coord.ha.detection.suspicion import Sign
from milvus_coord.ha.election import decisions as election
from milvus_coord.ha.election.decisions import (
    ClaimActiveKey,
    Decision,
    DetectFailure,
    Own,
    Succession,
)
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause
from tests.model.world import GO, HAND, Key, Question

Successor: TypeAlias = Callable[
    [ClaimActiveKey, LeadershipRecord | None, SessionRecord | None, int], Succession
]

KEYS: Final = Keys("by-dev/meta", "rootcoord")
_SUSPICIOUS: Final = Sign(Cause.SILENT, 0.0)


class Code:
    """The decisions as they run, or with mutants in the place of some of them."""

    def __init__(
        self,
        *,
        decide: Callable[[Keys, RoleSnapshot, Own, float], Decision] = election.decide,
        decide_replacement: Callable[
            [Keys, ReplacementOrder, int], ClaimActiveKey
        ] = election.decide_replacement,
        succession: Successor = election.succession,
        guards: Callable[[bytes, int, int], tuple[Compare, ...]] = election.guards,
        ended_state: Callable[[float, float], TermState] = election.ended_state,
    ) -> None:
        self._decide, self._replacement, self._succession = decide, decide_replacement, succession
        self._guards, self._ended_state = guards, ended_state
        self.decision = cache(self._decision)
        self.replacement_of_dead = cache(self._replaced_dead)
        self.replacement = cache(self._replaced)
        self.wait_ticks = cache(self._wait_ticks)
        self.fence = cache(self._fence)
        self.ended = cache(self._ended)
        self.take_back = cache(self._take_back)
        self.is_ours = cache(self._is_ours)
        self.may_ask = cache(self._may_ask)
        self.is_answered = cache(self._is_answered)
        self.to_answer = cache(self._to_answer)

    def _decision(self, active: Key | None, server_id: int, lease: int) -> Decision:
        """What a standby does that sees the active key so."""
        found = key_value(active) if active else None
        holder = SessionRecord.of(found.key, found.value) if found else None
        led = 0 if active is not None and active.of_go else 1
        pair = RoleSnapshot(
            KEYS.role, listed=True, active=found, holder=holder, leadership_revision=led
        )
        return self._decide(KEYS, pair, Own(server_id, lease), 0.0)

    def _replaced_dead(self, active: Key, server_id: int) -> ClaimActiveKey:
        """The kernel says that the holder's process has ended."""
        order = ReplacementOrder(key_value(active), Cause.PROCESS_DIED, since_s=0.0)
        return self._replacement(KEYS, order, server_id)

    def _replaced(self, asked: Question, server_id: int) -> ClaimActiveKey | None:
        """The time to answer is up, as the challenger sees it."""
        reply = Reply(Outcome.UNANSWERED, asked.nonce - 1)
        step = detection.after_challenge(reply, _SUSPICIOUS, asked_s=0.0, heard_s=0.0)
        if step is not Next.REPLACE:
            return None
        order = ReplacementOrder(
            key_value(asked.active), _SUSPICIOUS.cause, 0.0, reply.answer_revision
        )
        return self._replacement(KEYS, order, server_id)

    def _wait_ticks(
        self, claim: ClaimActiveKey, record: TermState | None, last_go: bool, serve_ticks: int
    ) -> int:
        """How long a claim that wins now waits; a tick is a second."""
        written = LeadershipRecord(1, "h:1", record, serve_ticks * 1000) if record else None
        seen = GO if last_go else 1 if record else 0
        holder = SessionRecord.of(KEYS.active, value_of(seen)) if seen else None
        return round(self._succession(claim, written, holder, serve_ticks * 1000).serves_s)

    def _fence(self, lease: int, epoch: int) -> tuple[Compare, ...]:
        return tuple(self._guards(KEYS.active, lease, epoch))

    def _ended(self, wait: int) -> TermState:
        """What a leader says of its term that has `wait` ticks left until its own wait is over."""
        return self._ended_state(0.0, float(wait))

    def _take_back(self, given_at: int) -> tuple[Compare, ...]:
        return election.take_back(KEYS, given_at)

    def _is_ours(self, active: Key | None, epoch: int) -> bool:
        return election.is_ours(key_value(active) if active else None, epoch)

    def _may_ask(self, active: Key | None, lease: int) -> bool:
        """Whether a standby may suspect the holder: a Go coordinator never."""
        found = self.decision(active, 0, lease)
        return isinstance(found, DetectFailure) and detection.may_suspect(found.holder, paired=True)

    def _is_answered(self, asked: Question, answered: int) -> bool:
        """Whether the last answer, to the question with that number, is the one to this."""
        answer = Challenge(str(answered), asked.active.mod)
        kv = KeyValue(KEYS.answer(0), answer.encode(), 0, 1, answered, answered)
        reply = detection.reply_of(
            Challenge(str(asked.nonce), asked.active.mod), kv if answered else None, 0.0
        )
        return reply.outcome is Outcome.ANSWERED

    def _to_answer(
        self, asked: tuple[Question | None, ...], epoch: int, answered: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Whose questions the leader of `epoch` answers; the last answers are remembered."""
        open_ones = {
            i: Challenge(str(question.nonce), question.active.mod)
            for i, question in enumerate(asked)
            if question is not None
        }
        known = {i: Challenge(str(nonce), epoch) for i, nonce in enumerate(answered) if nonce}
        return tuple(i for i, _ in detection.unanswered(open_ones, epoch, known))


CODE: Final = Code()


@cache
def key_value(active: Key) -> KeyValue:
    """The active key as etcd holds it, created at revision 1; junk is put over what was there."""
    version = 2 if active.holder == HAND else 1
    return KeyValue(KEYS.active, value_of(active.holder), active.lease, version, 1, active.mod)


@cache
def value_of(holder: int) -> bytes:
    """What the active key holds: the session of a process, or junk."""
    if holder == HAND:
        return b"junk"
    server_id = 99 if holder == GO else holder
    return SessionRecord(server_id, KEYS.role, "h:1", fenced=holder != GO).encode()
