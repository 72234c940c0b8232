"""The only way to write metadata: a transaction that proves leadership by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import Compare, Op, Txn, TxnResult, get
from milvus_coord.ha.election.decisions import guards, is_ours
from milvus_coord.ha.settings import WRITE_S
from milvus_coord.model.errors import CoordError, FencedOff
from milvus_coord.runtime.noop import noop


class ConditionFailed(CoordError):
    """A condition of the caller's own did not hold; leadership is fine and nothing was written."""


class RefusedBy(Enum):
    """Who kept a write of a deposed leader from etcd's store: etcd, or we who knew it by then."""

    ETCD = "etcd"
    US = "us"


class Fence:
    """The comparisons that every write of one term carries: see `decisions.guards`.

    The active key must still hang on our lease, and must not have been written since we won it. The
    second also stops what an earlier term of this same process may have left in the network.
    `refused` is told of each write that was kept out because the term was over.
    """

    def __init__(
        self,
        etcd: Etcd,
        active_key: bytes,
        lease: int,
        epoch: int,
        refused: Callable[[RefusedBy], None] = noop,
    ) -> None:
        self._etcd, self._key, self._refused = etcd, active_key, refused
        self.epoch = epoch
        self.compares = guards(active_key, lease, epoch)
        self.broken = asyncio.Event()

    async def commit(
        self, *ops: Op, when: tuple[Compare, ...] = (), timeout_s: float = WRITE_S
    ) -> TxnResult:
        """Apply `ops` as one transaction, if we still lead and every condition of `when` holds.

        Raises FencedOff when we lead no longer, ConditionFailed for a condition of `when`, and
        etcd's own errors; after `Unavailable` with `sent` the outcome is unknown.
        """
        if self.broken.is_set():
            self._refused(RefusedBy.US)
            raise FencedOff(f"epoch {self.epoch} is over")
        guarded = Txn((*self.compares, *when), ops, (get(self._key),))
        result = await self._etcd.txn(guarded, timeout_s=timeout_s)
        if result.succeeded:
            return result
        if is_ours(result.kv(0), self.epoch):
            raise ConditionFailed(f"not written: one of {when} does not hold")
        self.broken.set()
        self._refused(RefusedBy.ETCD)
        raise FencedOff(f"epoch {self.epoch} is over: {self._key.decode()} is no longer ours")
