"""Write the history of takeovers: one entry a term, bounded, all under the term's fence."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.txn import Op, delete, put
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.leadership_record import LeadershipRecord
from milvus_coord.ha.pair.pair_state import PairState
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.takeover import Takeover
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry

KEPT: Final = 100
_TRIMMED_AT_ONCE: Final = 50


async def write_history(
    term: Term,
    clock: Clock,
    keys: Keys,
    pair: PairState,
    begun: Takeover,
    clear: LeadershipRecord,
) -> None:
    """Note that a term has begun, and again once the first answers are done. Raises FencedOff.

    With the second goes the word that the leader before has certainly stopped.
    """
    retry = Retry(clock, "write the history", on=(EtcdError,))
    key = keys.takeover(term.epoch)
    await retry.run(lambda: term.fence.commit(put(key, begun.encode())))
    await term.first_answers_done.wait()
    ended = replace(begun, phases=dict(term.phases.took_ms), served=True)
    ops = (
        put(keys.leadership, clear.encode()),
        put(key, ended.encode()),
        *_trim(keys, pair.snapshot),
    )
    await retry.run(lambda: term.fence.commit(*ops))


def _trim(keys: Keys, pair: RoleSnapshot) -> list[Op]:
    """Delete the oldest entries beyond those that are kept."""
    surplus = pair.history[: max(0, len(pair.history) - KEPT)]
    return [delete(keys.takeover(entry.epoch)) for entry in surplus[:_TRIMMED_AT_ONCE]]
