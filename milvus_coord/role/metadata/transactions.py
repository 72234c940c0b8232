"""Fit operations into transactions that etcd takes by its default limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from milvus_coord.etcd.txn import MAX_OPS, Op, Put

BYTES_MAX: Final = 1_000_000
"""Of keys and values in one transaction; etcd takes a request of 1.5 MiB."""

Transactions: TypeAlias = list[tuple[Op, ...]]
"""To be applied in this order, each as a whole."""


def size_of(ops: Iterable[Op]) -> int:
    """Bytes of keys and values."""
    return sum(len(op.key) + (len(op.value) if isinstance(op, Put) else 0) for op in ops)


def in_transactions(parts: Iterable[tuple[Op, ...]]) -> Transactions:
    """As few transactions as hold all `parts` in order; no part is torn apart."""
    transactions: Transactions = []
    ops: list[Op] = []
    size = 0
    for part in parts:
        more = size_of(part)
        if ops and (len(ops) + len(part) > MAX_OPS or size + more > BYTES_MAX):
            transactions.append(tuple(ops))
            ops, size = [], 0
        ops += part
        size += more
    return [*transactions, tuple(ops)] if ops else transactions
