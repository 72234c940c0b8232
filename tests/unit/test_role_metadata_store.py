"""The metadata store of a role with several prefixes, whatever its state is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from milvus_coord.etcd.errors import NoSpace, Unavailable
from milvus_coord.etcd.txn import Txn, delete, mod_revision_is, put
from milvus_coord.ha.election.fence import ConditionFailed
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.model.errors import NotServing
from milvus_coord.role.metadata.store import MetadataStore
from testing.keys_image import KeysImage
from testing.role_world import RoleWorld

LEASE_S = 5.0
SEGMENT, CHANNEL = b"meta/data/s/1", b"meta/channelwatch/8/ch"


class StatefulImage(KeysImage):
    """Its state is itself."""

    @property
    def state(self) -> StatefulImage:
        return self


class World(RoleWorld[StatefulImage]):
    """A role with two prefixes."""

    def __init__(self) -> None:
        prefixes = (b"meta/channelwatch", b"meta/data/")
        keys = Keys("meta", "role")
        super().__init__(Mirrored(prefixes, keys.ha, StatefulImage), keys, lease_s=LEASE_S)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[MetadataStore[StatefulImage]]:
        async with self.leading() as term:
            yield MetadataStore(term.mirror, term.fence, self.serve.require)


async def test_what_is_written_to_any_prefix_is_in_the_state_when_it_returns() -> None:
    world = World()
    async with world.writing() as store:
        both = (put(SEGMENT, b"1"), put(CHANNEL, b"1"))
        await store.write([both, (delete(SEGMENT),)], applied=lambda _: False)
        assert store.state == {CHANNEL: b"1"}
        await asyncio.wait_for(store.commit([(put(b"meta/zone", b"x"),)]), 1.0)
        await asyncio.wait_for(store.commit([(delete(SEGMENT),)]), 1.0)
        foreign = put(b"meta/foreign/1", b"x"), delete(b"meta/foreign/2")
        await asyncio.wait_for(store.commit([foreign, ()]), 1.0)
        assert store.state == {CHANNEL: b"1"}


@pytest.mark.parametrize("error", [Unavailable("lost", sent=True), NoSpace("full")])
@pytest.mark.parametrize("applied", [False, True])
async def test_a_lost_answer_is_decided_by_the_state(error: Exception, applied: bool) -> None:
    world = World()
    async with world.writing() as store:
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
    async with world.writing() as store:
        assert store.current is store.state
        world.clock.advance(LEASE_S)
        with pytest.raises(NotServing):
            _ = store.current
        assert store.state == {}


async def test_a_condition_guards_a_key_that_nodes_write_too() -> None:
    world = World()
    async with world.writing() as store:
        await store.commit([(put(CHANNEL, b"to watch"),)])
        seen = (await world.other.get(CHANNEL)).kv
        assert seen is not None
        as_seen = mod_revision_is(CHANNEL, seen.mod_revision)
        await world.other.txn(Txn((as_seen,), (put(CHANNEL, b"watched"),)))
        with pytest.raises(ConditionFailed):
            await store.commit([(put(CHANNEL, b"to release"),)], when=(as_seen,))
        assert await world.settle(lambda: store.state == {CHANNEL: b"watched"})
