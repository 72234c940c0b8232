"""Write the history of takeovers: one entry a term, bounded, all under the term's fence."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from milvus_coord.etcd.errors import EtcdError, LeaseNotFound
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Op, delete, put
from milvus_coord.ha.election.standby import HaContext
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.leadership_record import LeadershipRecord
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.takeover import Takeover
from milvus_coord.runtime.clock import Clock
from milvus_coord.runtime.retry import Retry

KEPT: Final = 100
_TRIMMED_AT_ONCE: Final = 50


async def write_history(
    term: Term,
    context: HaContext,
    begun: Takeover,
    clear: LeadershipRecord,
    first_answers_done: asyncio.Event,
) -> None:
    """Note that a term has begun, and again once the first answers are done. Raises FencedOff.

    With the second goes the word that the leader before has certainly stopped.
    """
    retry = Retry(context.clock, "write the history", on=(EtcdError,))
    key = context.keys.takeover(term.epoch)
    await retry.run(lambda: term.fence.commit(put(key, begun.encode())))
    await first_answers_done.wait()
    ended = replace(begun, phases=dict(term.phases.took_ms), served=True)
    ops = (
        put(context.keys.leadership, clear.encode()),
        put(key, ended.encode()),
        *_trim(context.keys, context.pair.snapshot),
    )
    await retry.run(lambda: term.fence.commit(*ops))


async def revoke_predecessor_lease(
    etcd: Etcd, clock: Clock, lease: int, first_answers_done: asyncio.Event
) -> None:
    """End the session lease of one who was replaced, so that its instance key goes.

    Once the first answers are done: until then clients wait, and a term that fails leaves it to the
    lease's own end.
    """
    await first_answers_done.wait()
    retry = Retry(clock, "end the lease of the one before us", on=(EtcdError,))

    async def revoke() -> None:
        try:
            await etcd.lease_revoke(lease, timeout_s=1.0)
        except LeaseNotFound:
            return

    await retry.run(revoke)


def _trim(keys: Keys, pair: RoleSnapshot) -> list[Op]:
    """Delete the oldest entries beyond those that are kept."""
    surplus = pair.history[: max(0, len(pair.history) - KEPT)]
    return [delete(keys.takeover(entry.epoch)) for entry in surplus[:_TRIMMED_AT_ONCE]]
