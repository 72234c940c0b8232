"""Transactions that go to etcd together."""

from __future__ import annotations

import asyncio

import pytest

from milvus_coord.etcd.errors import NoSpace, Unavailable
from milvus_coord.etcd.txn import MAX_OPS, Op, PutResult, TxnResult, put
from milvus_coord.role.metadata.group_commit import GroupCommit
from milvus_coord.role.metadata.transactions import BYTES_MAX


class Store:
    """Applies a transaction when told to; knows what came together."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.go = asyncio.Semaphore(0)
        self.began = asyncio.Event()
        self.error: Exception | None = None

    async def send(self, ops: tuple[Op, ...]) -> TxnResult:
        self.sent.append([op.key for op in ops])
        self.began.set()
        await self.go.acquire()
        if self.error is not None:
            raise self.error
        return TxnResult(True, 100 + len(self.sent), tuple(PutResult() for _ in ops))


async def first_on_its_way(store: Store, group: GroupCommit) -> asyncio.Task[TxnResult]:
    task = asyncio.create_task(group.commit((put(b"first", b""),)))
    await store.began.wait()
    return task


def commits(group: GroupCommit, *transactions: tuple[Op, ...]) -> list[asyncio.Task[TxnResult]]:
    return [asyncio.create_task(group.commit(ops)) for ops in transactions]


async def turn() -> None:
    """Let every task that can run come to its next wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_meanwhile_goes_together_and_each_gets_its_own_responses() -> None:
    store = Store()
    group = GroupCommit(store.send)
    first = await first_on_its_way(store, group)
    others = commits(group, (put(b"a", b""), put(b"b", b"")), (put(b"c", b""),))
    await turn()
    assert store.sent == [[b"first"]]
    store.go.release()
    assert (await first).revision == 101
    store.go.release()
    two, one = await asyncio.gather(*others)
    assert store.sent[1:] == [[b"a", b"b", b"c"]]
    assert (two.revision, len(two.responses), len(one.responses)) == (102, 2, 1)


async def test_a_key_is_written_once_in_a_transaction_and_in_the_order_of_callers() -> None:
    store = Store()
    group = GroupCommit(store.send)
    first = await first_on_its_way(store, group)
    others = commits(group, (put(b"a", b"1"),), (put(b"a", b"2"),), (put(b"b", b""),))
    for _ in range(3):
        store.go.release()
    await asyncio.gather(first, *others)
    assert store.sent[1:] == [[b"a"], [b"a", b"b"]]


@pytest.mark.parametrize(
    "transaction",
    [
        tuple(put(b"n%d" % number, b"") for number in range(MAX_OPS)),
        (put(b"large", bytes(BYTES_MAX)),),
    ],
)
async def test_a_full_transaction_goes_alone(transaction: tuple[Op, ...]) -> None:
    store = Store()
    group = GroupCommit(store.send)
    first = await first_on_its_way(store, group)
    others = commits(group, (put(b"a", b""),), transaction, (put(b"b", b""),))
    for _ in range(4):
        store.go.release()
    await asyncio.gather(first, *others)
    assert [len(keys) for keys in store.sent] == [1, 1, len(transaction), 1]


async def test_all_share_the_fate_of_their_transaction_and_the_next_ones_do_not() -> None:
    store = Store()
    group = GroupCommit(store.send)
    first = await first_on_its_way(store, group)
    others = commits(group, (put(b"a", b""),), (put(b"b", b""),))
    await turn()
    store.go.release()
    await first
    store.error = NoSpace("full")
    store.go.release()
    assert [type(each) for each in await asyncio.gather(*others, return_exceptions=True)] == [
        NoSpace,
        NoSpace,
    ]
    store.error = None
    store.go.release()
    assert (await group.commit((put(b"c", b""),))).succeeded


async def test_when_the_one_that_sends_is_cancelled_the_others_do_not_know() -> None:
    store = Store()
    group = GroupCommit(store.send)
    first = await first_on_its_way(store, group)
    leader, follower, later = commits(
        group, (put(b"a", b""),), (put(b"b", b""),), (put(b"a", b""),)
    )
    await turn()
    store.go.release()
    await first
    await turn()
    assert store.sent[1:] == [[b"a", b"b"]]
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    with pytest.raises(Unavailable) as unknown:
        await follower
    assert unknown.value.sent
    store.go.release()
    assert (await later).succeeded


async def test_one_that_is_cancelled_while_it_waits_is_not_sent() -> None:
    store = Store()
    group = GroupCommit(store.send)
    first = await first_on_its_way(store, group)
    gone, stays = commits(group, (put(b"a", b""),), (put(b"b", b""),))
    await turn()
    gone.cancel()
    await turn()
    for _ in range(2):
        store.go.release()
    await asyncio.gather(first, stays)
    assert store.sent[1:] == [[b"b"]]
