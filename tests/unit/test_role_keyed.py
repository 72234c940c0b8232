"""Records of single keys: a store that knows nothing of what they are."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, delete, put
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.model.errors import BadValue, FencedOff
from milvus_coord.role.metadata.keyed import KeyedStore
from milvus_coord.runtime.clock import ManualClock

ACTIVE = b"meta/session/role"


@dataclass(frozen=True, slots=True)
class Channel:
    node: int
    name: str
    progress: int


Place = tuple[int, str]


class Channels:
    """`kv/channels/<node>/<name>` holds the progress as decimal text."""

    kind = "channel"
    prefix = b"kv/channels/"

    def key(self, id_: Place) -> bytes:
        return b"%s%d/%s" % (self.prefix, id_[0], id_[1].encode())

    def encode(self, record: Channel) -> bytes:
        return b"%d" % record.progress

    def decode(self, key: bytes, value: bytes) -> tuple[Place, Channel]:
        node, name = key.removeprefix(self.prefix).decode().split("/")
        if not value.isdigit():
            raise BadValue(f"{key.decode()} holds {value!r}")
        return (int(node), name), Channel(int(node), name, int(value))


class World:
    """One leader over an etcd that others write, too."""

    def __init__(self) -> None:
        self.other = MemoryEtcd(ManualClock())
        self.link = self.other.peer()

    async def lead(self) -> KeyedStore[Place, Channel]:
        epoch = (await self.other.txn(Txn((), (put(ACTIVE, b"me"),)))).revision
        store = KeyedStore(self.link, Fence(self.link, ACTIVE, 0, epoch), Channels())
        await store.load()
        return store

    async def stored(self) -> dict[bytes, bytes]:
        found = await self.other.range(Channels.prefix)
        return {kv.key.removeprefix(Channels.prefix): kv.value for kv in found.kvs}


def moved(record: Channel | None) -> Channel | None:
    assert record is not None
    return Channel(record.node, record.name, record.progress + 1)


async def test_records_are_added_changed_and_deleted() -> None:
    world = World()
    store = await world.lead()
    for node, name in ((2, "a"), (1, "b"), (1, "a")):
        await store.add((node, name), Channel(node, name, 0))
    assert [(each.node, each.name) for each in store] == [(1, "a"), (1, "b"), (2, "a")]
    with pytest.raises(ConditionFailed):
        await store.add((1, "a"), Channel(1, "a", 5))
    assert await store.change((1, "a"), moved) == Channel(1, "a", 1)
    assert await store.change((1, "b"), lambda _: None) is None
    assert await world.stored() == {b"1/a": b"1", b"2/a": b"0"}
    revision = world.other.store.revision
    assert await store.change((2, "a"), lambda record: record) == Channel(2, "a", 0)
    assert world.other.store.revision == revision, "what is equal is not written"


async def test_a_new_term_reads_what_is_there_and_the_old_one_writes_nothing() -> None:
    world = World()
    old = await world.lead()
    await old.add((1, "a"), Channel(1, "a", 3))
    await world.other.txn(Txn((), (put(b"kv/channels/1/bad", b"?"),)))
    new = await world.lead()
    assert list(new) == [Channel(1, "a", 3)]
    with pytest.raises(FencedOff):
        await old.change((1, "a"), moved)
    assert (await world.stored())[b"1/a"] == b"3"


@pytest.mark.parametrize("applied", [False, True])
async def test_an_unknown_outcome_is_looked_up_before_the_next_write(applied: bool) -> None:
    world = World()
    store = await world.lead()
    await store.add((1, "a"), Channel(1, "a", 0))
    world.link.fail_next("txn", Unavailable("lost", sent=True), applied=applied)
    with pytest.raises(Unavailable):
        await store.change((1, "a"), moved)
    found = await store.change((1, "a"), moved)
    assert found == Channel(1, "a", 2 if applied else 1)
    world.link.fail_next("txn", Unavailable("lost", sent=True), applied=applied)
    with pytest.raises(Unavailable):
        await store.change((1, "a"), lambda _: None)
    await store.settle()
    assert (store.get((1, "a")) is None) == applied


async def test_a_key_that_changed_under_us_is_read_again_and_decided_anew() -> None:
    world = World()
    store = await world.lead()
    await store.add((1, "a"), Channel(1, "a", 0))
    await world.other.txn(Txn((), (put(b"kv/channels/1/a", b"7"),)))
    assert await store.change((1, "a"), moved) == Channel(1, "a", 8)
    await world.other.txn(Txn((), (delete(b"kv/channels/1/a"),)))
    seen: list[Channel | None] = []

    def decide(record: Channel | None) -> Channel | None:
        seen.append(record)
        return moved(record) if record else None

    assert await store.change((1, "a"), decide) is None
    assert seen == [Channel(1, "a", 8), None]
