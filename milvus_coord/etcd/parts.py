"""Many operations as several transactions, for writes that may be half done without harm."""

from __future__ import annotations

from milvus_coord.etcd.errors import EtcdError
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.txn import MAX_OPS, Compare, Op, PartsResult, Put, Txn


def in_parts(
    ops: tuple[Op, ...], *, ops_max: int = MAX_OPS, bytes_max: int = 1 << 20
) -> list[tuple[Op, ...]]:
    """Cut `ops`, in order, into runs that each fit one transaction of etcd's default limits."""
    parts: list[tuple[Op, ...]] = []
    part: list[Op] = []
    size = 0
    for op in ops:
        weight = len(op.key) + (len(op.value) if isinstance(op, Put) else 0) + 32
        if part and (len(part) == ops_max or size + weight > bytes_max):
            parts.append(tuple(part))
            part, size = [], 0
        part.append(op)
        size += weight
    return [*parts, tuple(part)] if part else parts


async def send_in_parts(
    etcd: Etcd, guard: tuple[Compare, ...], ops: tuple[Op, ...], timeout_s: float | None
) -> PartsResult:
    """`Etcd.txn_in_parts` on `Etcd.txn`; `timeout_s` is for each part."""
    parts = in_parts(ops)
    revision = 0
    for applied, part in enumerate(parts):
        try:
            result = await etcd.txn(Txn(guard, part), timeout_s=timeout_s)
        except EtcdError as error:
            error.add_note(f"{applied} of {len(parts)} parts were applied before")
            raise
        revision = result.revision
        if not result.succeeded:
            return PartsResult(applied, len(parts), revision)
    return PartsResult(len(parts), len(parts), revision)
