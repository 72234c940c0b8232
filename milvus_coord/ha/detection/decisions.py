"""What a watcher of an active, and an active that is asked, do next. Every function is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.detection.replacement_limits import ReplacementLimits
from milvus_coord.ha.detection.suspicion import Sign
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.model.errors import BadValue

WAIT_S_MAX: Final = 2.0
"""However slow etcd is, it lends an active no more: one that cannot write for so long is no use."""

_CALLS_BORNE: Final = 2
_OVERSLEPT_S: Final = 0.2


class Outcome(Enum):
    """`VOID` proves nothing: etcd or our loop was too slow, or the active key has changed."""

    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Reply:
    """How a challenge ended; while the answer key is at `answer_revision` it is unanswered."""

    outcome: Outcome
    answer_revision: int = 0


class Next(Enum):
    """What follows a challenge that has ended."""

    LEAVE_ALONE = "it can write"
    ASK_LATER = "nothing is proven"
    ASK_ANEW = "it did not answer, but there is no bad sign now"
    REPLACE = "it cannot write"


def may_suspect(holder: SessionRecord, *, paired: bool) -> bool:
    """Whether the holder may be replaced while its process may live.

    Never a Go coordinator, whose writes are unguarded, nor where no pair is wanted.
    """
    return holder.fenced and paired


def answer_wait_s(configured_s: float, typical_s: float, last_s: float) -> float:
    """How long an active has to answer; longer when etcd took long, typically or just now."""
    return max(configured_s, min(_CALLS_BORNE * max(typical_s, last_s), WAIT_S_MAX))


def reply_of(challenge: Challenge, answer: KeyValue | None, overslept_s: float) -> Reply:
    """Judge a challenge by the answer key as it was read after the wait.

    `overslept_s` is by how much longer we slept than we meant: the active may have been as slow.
    """
    if answer is not None and _decoded(answer) == challenge:
        return Reply(Outcome.ANSWERED, answer.mod_revision)
    if overslept_s > _OVERSLEPT_S:
        return Reply(Outcome.VOID)
    return Reply(Outcome.UNANSWERED, answer.mod_revision if answer else 0)


def unanswered(
    asked: Mapping[int, Challenge], epoch: int, answered: Mapping[int, Challenge]
) -> list[tuple[int, Challenge]]:
    """The challenges to the term of `epoch` that it has to answer, and to whom."""
    return [
        (server_id, challenge)
        for server_id, challenge in asked.items()
        if challenge.epoch == epoch and answered.get(server_id) != challenge
    ]


def why_not_allowed(pair: RoleSnapshot) -> str:
    """Why not even a dead active may be replaced early; empty when it may."""
    if not pair.listed:
        return "etcd has not said whether we may"
    return "paused" if pair.pause is not None else ""


def why_held_back(
    pair: RoleSnapshot, obstacles: tuple[str, ...], limits: ReplacementLimits, now_ms: int
) -> str:
    """Why even an active that cannot work is left to its lease; empty when it is not.

    `obstacles` are why we could not lead well; `now_ms` is Unix time.
    """
    if why := why_not_allowed(pair):
        return why
    if obstacles:
        return "not ready: " + "; ".join(obstacles)
    if limits.wait_ms(pair.history, now_ms):
        return "damped: replaced early too often of late"
    return ""


def after_challenge(reply: Reply, sign: Sign | None, *, asked_s: float, heard_s: float) -> Next:
    """Decide by how the challenge ended and by the sign that there is now, if any.

    The sign must be no older than the challenge: a row of short stops can hide a challenge whole,
    and what was said before it. `asked_s` and `heard_s` are boot times of the challenge and of the
    last beat.
    """
    if reply.outcome is Outcome.ANSWERED:
        return Next.LEAVE_ALONE
    if reply.outcome is Outcome.VOID:
        return Next.ASK_LATER
    if sign is None or (sign.cause is Cause.UNPROVEN and heard_s < asked_s):
        return Next.ASK_ANEW
    return Next.REPLACE


def _decoded(kv: KeyValue) -> Challenge | None:
    try:
        return Challenge.decode(kv.key, kv.value)
    except BadValue:
        return None
