"""One term's reading and writing of what a role mirrors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from milvus_coord.etcd.errors import EtcdError, NoSpace, Unavailable
from milvus_coord.etcd.txn import Compare, DeleteResult, Op, OpResult, PutResult, TxnResult
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.model.errors import CoordError
from milvus_coord.role.metadata.group_commit import GroupCommit
from milvus_coord.runtime.failpoints import failpoint

COMMIT_S: Final = 30.0
"""How long a write may take until the state shows it, etcd's own deadlines included."""
SETTLE_S: Final = 10.0
"""How long a caller waits to learn what became of a write whose answer was lost."""

S = TypeVar("S")


class Unsure(CoordError):
    """A write was sent, and nobody could say whether it took effect."""


class MetadataStore(Generic[S]):
    """Writes go through etcd and come back by the mirror, as all others' do: there is one path.

    Make it before the term catches up (`mirror.catch_up`), and read `state` after: then all that
    former leaders wrote is there. The mirror's image has the state as `state`.

    Args:
        require_lease: returns while the serve lease holds, and raises NotServing otherwise.
    """

    def __init__(
        self, mirror: Mirror[Any], fence: Fence, require_lease: Callable[[], None]
    ) -> None:
        self._mirror, self._fence, self._require_lease = mirror, fence, require_lease
        self._together = GroupCommit(lambda ops: self._send(ops, ()))
        self._settling = asyncio.Lock()
        self._settled = 0

    @property
    def state(self) -> S:
        """What is stored as far as we know. Ask anew after every await: there may be another."""
        state: S = self._mirror.image.state
        return state

    @property
    def current(self) -> S:
        """What is stored right now: for decisions that no write proves, such as a refusal.

        Without the serve lease a successor may have gone on. Raises NotServing.
        """
        self._require_lease()
        return self.state

    async def write(
        self, transactions: Sequence[tuple[Op, ...]], *, applied: Callable[[S], bool]
    ) -> None:
        """Write `transactions` in order; return when the state shows them.

        When an answer is lost, `applied` decides by the state once that has settled. Raises
        FencedOff; Unsure when that could not be learned in time; etcd's errors when there is
        less than was to be written.
        """
        try:
            async with asyncio.timeout(COMMIT_S):
                await self.commit(transactions)
        except (Unavailable, NoSpace, TimeoutError) as trouble:
            if isinstance(trouble, Unavailable) and not trouble.sent:
                raise
            await self._learn_outcome(trouble)
            if not applied(self.state):
                if isinstance(trouble, TimeoutError):
                    raise Unsure(f"not written within {COMMIT_S:g} s") from trouble
                raise

    async def commit(
        self, transactions: Sequence[tuple[Op, ...]], when: tuple[Compare, ...] = ()
    ) -> None:
        """Apply the transactions in order, the first one if `when` holds; `state` then shows them.

        Raises FencedOff; ConditionFailed, when nothing was written; and etcd's errors. After one of
        those the transaction at which it stopped may be applied or not: `settle` tells.
        """
        revision = 0
        for ops in transactions:
            result = await (self._send(ops, when) if when else self._together.commit(ops))
            when = ()
            if self._moves_the_mirror(ops, result):
                revision = result.revision
            if len(transactions) > 1:
                await failpoint("parts_between")
        await self._mirror.reached(revision)

    async def settle(self) -> None:
        """Return once `state` has all that we sent and etcd applied; the rest never will be.

        For an outcome that is unknown: look at `state` afterwards, it is known then. Raises
        FencedOff; trouble in etcd is waited out.
        """
        before = self._settled
        async with self._settling:  # Held over the network on purpose: it keeps new writes back.
            if self._settled != before:
                return  # One that began after we did, for what we wait for was sent before.
            await self._mirror.catch_up(self._fence)
            self._settled += 1

    async def _learn_outcome(self, trouble: Exception) -> None:
        try:
            async with asyncio.timeout(SETTLE_S):
                await self.settle()
        except (EtcdError, TimeoutError):
            raise Unsure(f"etcd did not say whether it was written: {trouble}") from trouble

    async def _send(self, ops: tuple[Op, ...], when: tuple[Compare, ...]) -> TxnResult:
        """Send under the barrier, which `settle` moves: what it overtakes is refused, sent anew."""
        while True:
            async with self._settling:
                settled, barrier = self._settled, self._mirror.barrier()
            try:
                return await self._fence.commit(*ops, when=(barrier, *when))
            except ConditionFailed:
                async with self._settling:
                    if self._settled == settled:
                        raise

    def _moves_the_mirror(self, ops: tuple[Op, ...], result: TxnResult) -> bool:
        return any(
            self._mirror.sees(op.key) and _has_changed(answer)
            for op, answer in zip(ops, result.responses, strict=True)
        )


def _has_changed(answer: OpResult) -> bool:
    match answer:
        case PutResult():
            return True
        case DeleteResult(deleted):
            return deleted > 0
    return False
