"""Group commit: transactions that wait for each other go to etcd together, as one."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.txn import MAX_OPS, Op, TxnResult
from milvus_coord.role.metadata.transactions import BYTES_MAX, size_of
from milvus_coord.runtime.signal import Signal

Send: TypeAlias = Callable[[tuple[Op, ...]], Awaitable[TxnResult]]


@dataclass(slots=True, eq=False)
class _Waiting:
    """One caller's transaction, and what came of it."""

    ops: tuple[Op, ...]
    keys: frozenset[bytes] = field(init=False)
    size: int = field(init=False)
    outcome: TxnResult | BaseException | None = None

    def __post_init__(self) -> None:
        self.keys = frozenset(op.key for op in self.ops)
        self.size = size_of(self.ops)


class GroupCommit:
    """Has one transaction on its way; those that come meanwhile follow together in the next one.

    Each caller's operations are applied as a whole or not at all; the callers of one transaction
    share its fate. For writes without conditions: those of one would bind the others.

    Args:
        send: applies operations as one transaction, or raises.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queue: deque[_Waiting] = deque()
        self._sending = False
        self._sent = Signal()

    async def commit(self, ops: tuple[Op, ...]) -> TxnResult:
        """The result, with the responses to `ops` alone. Raises what `send` raises.

        Also Unavailable with `sent`, when the caller that sent for others was cancelled. One that
        is cancelled does not take its own operations back once they are on their way.
        """
        mine = _Waiting(ops)
        self._queue.append(mine)
        try:
            while mine.outcome is None:
                if self._sending:
                    await self._sent.wait()
                else:
                    await self._send_next()
        finally:
            if mine in self._queue:
                self._queue.remove(mine)
        if isinstance(mine.outcome, BaseException):
            raise mine.outcome
        return mine.outcome

    async def _send_next(self) -> None:
        batch = self._next()
        self._sending = True
        try:
            result = await self._send(tuple(op for each in batch for op in each.ops))
        except Exception as error:
            for each in batch:
                each.outcome = error
        else:
            begin = 0
            for each in batch:
                end = begin + len(each.ops)
                responses = result.responses[begin:end]
                each.outcome = TxnResult(result.succeeded, result.revision, responses)
                begin = end
        finally:
            for each in batch:
                if each.outcome is None:
                    each.outcome = Unavailable("the caller that sent it was cancelled", sent=True)
            self._sending = False
            self._sent.notify()

    def _next(self) -> list[_Waiting]:
        """The oldest that fit into one transaction: etcd takes no key twice in one."""
        batch = [self._queue.popleft()]
        keys, ops, size = set(batch[0].keys), len(batch[0].ops), batch[0].size
        while self._queue:
            each = self._queue[0]
            ops, size = ops + len(each.ops), size + each.size
            if ops > MAX_OPS or size > BYTES_MAX or not keys.isdisjoint(each.keys):
                break
            keys |= each.keys
            batch.append(self._queue.popleft())
        return batch
