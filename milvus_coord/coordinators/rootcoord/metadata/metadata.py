"""One term's reading and writing of RootCoord's metadata."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.image import MetaImage
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.etcd.txn import Compare, DeleteResult, Op, OpResult, PutResult, TxnResult
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.metadata.group_commit import GroupCommit
from milvus_coord.runtime.failpoints import failpoint
from milvus_coord.telemetry.log import log

MetaMirror: TypeAlias = Mirror[MetaImage]


class Metadata:
    """Writes go through etcd and come back by the mirror, as all others' do: there is one path.

    Make it after `mirror.catch_up(fence)`, when all that former leaders wrote is there.
    """

    def __init__(self, mirror: MetaMirror, fence: Fence, catalog: Catalog) -> None:
        self._mirror, self._fence, self._catalog = mirror, fence, catalog
        self._together = GroupCommit(lambda ops: self._send(ops, ()))
        self._settling = asyncio.Lock()
        self._settled = 0

    @property
    def state(self) -> MetaState:
        """What is stored. Ask anew after every await: a re-read makes another object."""
        return self._mirror.image.state

    async def commit(
        self, transactions: list[tuple[Op, ...]], when: tuple[Compare, ...] = ()
    ) -> None:
        """Apply the transactions in order, the first one if `when` holds; `state` then shows them.

        Raises FencedOff; ConditionFailed, when nothing was written; and etcd's errors. After one of
        those the transaction at which it stopped may be applied or not: `settle` tells.
        """
        revision = 0
        for ops in transactions:
            result = await (self._send(ops, when) if when else self._together.commit(ops))
            when = ()
            if self._shows(ops, result):
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

    async def modernize(self, ts: Timestamp) -> None:
        """Bring records of old forms to today's, at activation: nobody else needs to know them.

        Go 2.2.16 does so bit by bit, when it writes an alias or renames a collection, but loses the
        fields of a collection in the layout of before 2.1. Collections of before databases stay
        under their old keys, where Go also keeps them.
        """
        collections, aliases = tuple(self.state.old_layouts()), tuple(self.state.old_aliases())
        for collection, partitions in collections:
            await self.commit(self._catalog.unfold_collection(collection, partitions, ts))
        for records in aliases:
            await self.commit(self._catalog.move_alias(records, ts))
        if collections or aliases:
            log.info(
                "old records brought to today's form",
                collections=len(collections),
                aliases=len(aliases),
            )

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

    def _shows(self, ops: tuple[Op, ...], result: TxnResult) -> bool:
        """Whether the mirror will see it: something below its prefix has changed."""
        return any(
            op.key.startswith(self._catalog.prefix) and _changed(answer)
            for op, answer in zip(ops, result.responses, strict=True)
        )


def _changed(answer: OpResult) -> bool:
    match answer:
        case PutResult():
            return True
        case DeleteResult(deleted):
            return deleted > 0
    return False
