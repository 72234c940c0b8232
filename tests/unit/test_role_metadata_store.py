"""The metadata store of a role with several prefixes, whatever its state is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from milvus_coord.etcd.errors import NoSpace, Unavailable
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.etcd.txn import Txn, delete, mod_revision_is, put
from milvus_coord.ha.election.fence import ConditionFailed, Fence
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.model.errors import NotServing
from milvus_coord.role.metadata.store import MetadataStore
from milvus_coord.runtime.clock import ManualClock
from milvus_coord.runtime.race import cancel_and_wait
from testing.keys_image import KeysImage

ACTIVE = b"meta/session/role"
SEGMENT, CHANNEL = b"meta/data/s/1", b"meta/channelwatch/8/ch"


class StatefulImage(KeysImage):
    """Its state is itself."""

    @property
    def state(self) -> StatefulImage:
        return self


class World:
    """One leader, whose mirror has a link of its own."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.etcd = MemoryEtcd(self.clock)
        self.other, self.reader = self.etcd.peer(), self.etcd.peer()
        prefixes = (b"meta/channelwatch", b"meta/data/")
        mirrored = Mirrored(prefixes, b"meta/ha/role/", StatefulImage)
        self.mirror = Mirror(self.reader, self.clock, mirrored)
        self.leased = True

    def require(self) -> None:
        if not self.leased:
            raise NotServing("no lease")

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[MetadataStore[StatefulImage]]:
        epoch = (await self.other.txn(Txn((), (put(ACTIVE, b"me"),)))).revision
        fence = Fence(self.etcd, ACTIVE, 0, epoch)
        store: MetadataStore[StatefulImage] = MetadataStore(self.mirror, fence, self.require)
        following = asyncio.create_task(self.mirror.run(), name="mirror")
        try:
            await self.mirror.catch_up(fence)
            yield store
        finally:
            await cancel_and_wait(following)


async def test_what_is_written_to_any_prefix_is_in_the_state_when_it_returns() -> None:
    world = World()
    async with world.leading() as store:
        both = (put(SEGMENT, b"1"), put(CHANNEL, b"1"))
        await store.write([both, (delete(SEGMENT),)], applied=lambda _: False)
        assert store.state == {CHANNEL: b"1"}
        await asyncio.wait_for(store.commit([(put(b"meta/zone", b"x"),)]), 1.0)
        await asyncio.wait_for(store.commit([(delete(SEGMENT),)]), 1.0)
        await asyncio.wait_for(store.commit([(put(b"meta/foreign/1", b"x"),)]), 1.0)
        assert store.state == {CHANNEL: b"1"}


@pytest.mark.parametrize("error", [Unavailable("lost", sent=True), NoSpace("full")])
@pytest.mark.parametrize("applied", [False, True])
async def test_a_lost_answer_is_decided_by_the_state(error: Exception, applied: bool) -> None:
    world = World()
    async with world.leading() as store:
        world.etcd.fail_next("txn", error, applied=applied)  # type: ignore[arg-type] # both are
        writing = store.write([(put(SEGMENT, b"1"),)], applied=lambda state: SEGMENT in state)
        if applied:
            await writing
        else:
            with pytest.raises(type(error)):
                await writing
        assert (SEGMENT in store.state) == applied


async def test_decisions_that_no_write_proves_need_the_lease() -> None:
    world = World()
    async with world.leading() as store:
        assert store.current is store.state
        world.leased = False
        with pytest.raises(NotServing):
            _ = store.current
        assert store.state == {}


async def test_a_condition_guards_a_key_that_nodes_write_too() -> None:
    world = World()
    async with world.leading() as store:
        await store.commit([(put(CHANNEL, b"to watch"),)])
        seen = (await world.other.get(CHANNEL)).kv
        assert seen is not None
        as_seen = mod_revision_is(CHANNEL, seen.mod_revision)
        await world.other.txn(Txn((as_seen,), (put(CHANNEL, b"watched"),)))
        with pytest.raises(ConditionFailed):
            await store.commit([(put(CHANNEL, b"to release"),)], when=(as_seen,))
        await world.mirror.reached(world.etcd.store.revision)
        assert store.state == {CHANNEL: b"watched"}
