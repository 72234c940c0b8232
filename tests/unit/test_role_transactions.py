"""Operations that are fitted into transactions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.etcd.txn import MAX_OPS, Op, delete, put
from milvus_coord.role.metadata.transactions import BYTES_MAX, in_transactions, size_of


@given(st.lists(st.lists(st.integers(0, 300_000), min_size=1, max_size=40), max_size=30))
def test_parts_keep_their_order_and_stay_whole_and_no_transaction_is_too_large(
    sizes: list[list[int]],
) -> None:
    parts: list[tuple[Op, ...]] = [
        tuple(put(b"%d/%d" % (number, index), bytes(size)) for index, size in enumerate(part))
        for number, part in enumerate(sizes)
    ]
    transactions = in_transactions(parts)
    assert [op for ops in transactions for op in ops] == [op for part in parts for op in part]
    for ops in transactions:
        assert 1 <= len(ops) <= MAX_OPS
        assert size_of(ops) <= BYTES_MAX or ops in parts, "one part alone may be larger"
    for part in parts:
        assert any(set(part) <= set(ops) for ops in transactions), "torn apart"


def test_as_few_as_hold_all() -> None:
    assert in_transactions([]) == []
    ones = in_transactions((delete(b"%d" % number),) for number in range(MAX_OPS + 1))
    assert [len(ops) for ops in ones] == [MAX_OPS, 1]
    large = in_transactions((put(b"k", bytes(400_000)),) for _ in range(5))
    assert [len(ops) for ops in large] == [2, 2, 1]
