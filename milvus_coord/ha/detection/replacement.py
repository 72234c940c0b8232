"""The finding that an active may be replaced before its lease ends."""

from __future__ import annotations

from dataclasses import dataclass

from milvus_coord.etcd.values import KeyValue
from milvus_coord.ha.pair.takeover import Cause


@dataclass(frozen=True, slots=True)
class ReplacementOrder:
    """The holder of `active` may be replaced, while the active key is as it is there.

    `answer_revision` is where the answer to our challenge stood when it was lost, None when the
    process is proven dead. `since_s` is when it last gave a good sign (boot time, s).
    """

    active: KeyValue
    cause: Cause
    since_s: float
    answer_revision: int | None = None

    @property
    def proven_dead(self) -> bool:
        """Whether nothing more can come of it."""
        return self.cause is Cause.PROCESS_DIED
