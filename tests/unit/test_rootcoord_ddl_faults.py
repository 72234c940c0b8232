"""DDL statements whose steps fail, one after the other: the caller's error, and what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.collections.effects import Deadlines, TooLate
from milvus_coord.etcd.errors import EtcdError, Unavailable
from milvus_coord.etcd.txn import Txn
from milvus_coord.model.errors import CoordError, FencedOff, NotServing
from milvus_coord.model.schema import INT64, Field
from testing.role_world import Broken
from testing.rootcoord_world import FIELDS, Term, World, wanted

MANY: Final = wanted(
    "a", fields=(*FIELDS, Field(0, "k", INT64, is_partition_key=True)), num_partitions=70
)
"""Takes several transactions to create."""


class EtcdFault:
    """Fails the n-th write of metadata, counted from 0."""

    def __init__(self, at: int, *, sent: bool, applied: bool) -> None:
        self._at, self._sent, self._applied = at, sent, applied
        self.seen = 0

    def __call__(self, txn: Txn) -> tuple[EtcdError, bool] | None:
        self.seen += 1
        if self.seen - 1 == self._at:
            return Unavailable("etcd is broken", sent=self._sent), self._applied
        return None

    @property
    def struck(self) -> bool:
        return self.seen > self._at


@pytest.mark.parametrize("step", ["proxies", "send"])
async def test_create_fails_before_anything_is_stored(step: str) -> None:
    world = World()
    async with world.term() as term:
        before = world.live("")
        world.faults.fail(step)
        with pytest.raises(Broken, match=f"{step} is broken"):
            await term.ddl.create_collection(wanted("a"))
        assert not term.ddl.cleanup.running
        assert world.live("") == before
        assert term.consistent() == []
        await term.ddl.create_collection(wanted("a"))
        assert term.consistent() == []


async def test_create_fails_when_datacoord_refuses_and_is_rolled_back() -> None:
    world = World()
    async with world.term() as term:
        before = world.live("")
        world.faults.fail("watch", Broken("failed to watch channels, code: X, reason: y"))
        with pytest.raises(Broken, match="failed to watch channels, code: X, reason: y"):
            await term.ddl.create_collection(wanted("a"))
        await world.quiet(term)
        assert world.live("") == before
        assert len(world.effects.sent) == 4, "two to create, two to take back"
        assert world.faults.tried("gc") == world.faults.tried("release") == []
        assert term.consistent() == []


async def test_a_new_attempt_need_not_wait_for_the_rollback() -> None:
    world = World()
    async with world.term() as term:
        world.faults.fail("watch")
        with pytest.raises(Broken):
            await term.ddl.create_collection(wanted("a"))
        term.ticks.flowing.clear()
        await term.ddl.create_collection(wanted("a"))
        created = term.collection("a").id
        assert len(list(term.state.unfinished())) == 1
        term.ticks.flowing.set()
        await world.quiet(term)
        assert term.collection("a").id == created
        assert term.consistent() == []


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("outcome", ["never sent", "lost", "applied, answer lost"])
async def test_create_whose_write_fails_in_etcd(at: int, outcome: str) -> None:
    world = World()
    async with world.term() as term:
        before = world.live("")
        applied = outcome == "applied, answer lost"
        fault = EtcdFault(at, sent=outcome != "never sent", applied=applied)
        world.etcd.hook = fault
        try:
            await term.ddl.create_collection(MANY)
            error = None
        except CoordError as raised:
            error = raised
        assert fault.struck == (at < 4), "three transactions to make it, one to complete it"
        await world.quiet(term)
        if at == 0 and applied:
            assert isinstance(error, Unavailable), "only the first of several was applied"
        if error is None:
            assert term.collection("a").available
            assert len(term.state.partitions(term.collection("a").id)) == 70
        else:
            assert str(error) == "etcd is broken"
            assert world.live("") == before
        assert (error is None) == (at == 4 or (applied and at in {2, 3}))
        assert term.consistent() == []
        await term.ddl.create_collection(MANY)
        assert term.consistent() == []


async def a_collection(ddl: Ddl) -> None:
    await ddl.create_collection(wanted("a"))


async def with_all(ddl: Ddl) -> None:
    await a_collection(ddl)
    await ddl.create_partition("", "a", "p")
    await ddl.create_alias("", "a", "al")
    await ddl.create_database("d")
    await ddl.create_collection(wanted("b"))


SINGLE: Final[dict[str, Callable[[Ddl], Awaitable[None]]]] = {
    "drop collection": lambda ddl: ddl.drop_collection("", "a"),
    "alter collection": lambda ddl: ddl.alter_collection("", "a", (("k", "v"),)),
    "rename collection": lambda ddl: ddl.rename_collection("", "a", "", "n"),
    "move collection": lambda ddl: ddl.rename_collection("", "b", "d", "n"),
    "create partition": lambda ddl: ddl.create_partition("", "a", "q"),
    "drop partition": lambda ddl: ddl.drop_partition("", "a", "p"),
    "create alias": lambda ddl: ddl.create_alias("", "a", "n"),
    "alter alias": lambda ddl: ddl.alter_alias("", "b", "al"),
    "drop alias": lambda ddl: ddl.drop_alias("", "al"),
    "create database": lambda ddl: ddl.create_database("n"),
    "drop database": lambda ddl: ddl.drop_database("d"),
}
"""Statements that write once."""


@pytest.mark.parametrize("what", SINGLE)
@pytest.mark.parametrize("outcome", ["never sent", "lost", "applied, answer lost"])
async def test_one_write_fails_in_etcd(what: str, outcome: str) -> None:
    world = World()
    async with world.term() as term:
        await with_all(term.ddl)
        before = world.live("")
        world.etcd.hook = EtcdFault(
            0, sent=outcome != "never sent", applied=outcome == "applied, answer lost"
        )
        if outcome == "applied, answer lost":
            await SINGLE[what](term.ddl)
        else:
            with pytest.raises(Unavailable, match="etcd is broken"):
                await SINGLE[what](term.ddl)
            await world.quiet(term)
            after = world.live("")
            assert after == before
            await SINGLE[what](term.ddl)
        await world.quiet(term)
        assert term.consistent() == []


@pytest.mark.parametrize("what", [what for what in SINGLE if "database" not in what])
async def test_a_proxy_that_fails_stops_a_statement_before_it_writes(what: str) -> None:
    world = World()
    async with world.term() as term:
        await with_all(term.ddl)
        before = world.live("")
        world.faults.fail("proxies")
        with pytest.raises(Broken, match="proxies is broken"):
            await SINGLE[what](term.ddl)
        assert term.consistent() == []
        if what == "alter collection":
            assert term.collection("a").properties == (("k", "v"),), "as in Go, written first"
        else:
            assert world.live("") == before
        await SINGLE[what](term.ddl)


async def test_datacoord_that_does_not_hear_of_an_alteration() -> None:
    world = World()
    async with world.term() as term:
        await a_collection(term.ddl)
        world.faults.fail("altered")
        with pytest.raises(Broken):
            await term.ddl.alter_collection("", "a", (("k", "v"),))
        assert term.collection("a").properties == (("k", "v"),)


@pytest.mark.parametrize("applied", [False, True])
async def test_etcd_that_cannot_even_be_asked_what_became_of_it(
    monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    monkeypatch.setattr("milvus_coord.role.metadata.store.SETTLE_S", 0.05)
    world = World()
    async with world.term() as term:
        await a_collection(term.ddl)

        def lost(txn: Txn) -> tuple[EtcdError, bool]:
            if applied:
                world.etcd.store.txn(txn)
            world.etcd.partition()
            return Unavailable("cut off", sent=True), False

        world.etcd.hook = lost
        with pytest.raises(CoordError, match="etcd did not say whether it was written"):
            await term.ddl.drop_collection("", "a")
        assert term.ddl.cleanup.running, "somebody has to look what became of the drop"
        world.etcd.heal()
        world.etcd.hook = lambda _: None
        await world.quiet(term)
        assert term.state.count() == (not applied)
        assert bool(world.faults.tried("gc")) == applied, "a drop that took effect is finished"
        assert term.consistent() == []


@pytest.mark.parametrize("what", ["create collection", *SINGLE])
async def test_a_successor_ends_everything_with_a_retriable_error(what: str) -> None:
    statements = {"create collection": lambda ddl: ddl.create_collection(wanted("n")), **SINGLE}
    world = World()
    async with world.term() as term:
        await with_all(term.ddl)
        before = world.live("")
        await world.deposed()
        with pytest.raises(FencedOff) as fenced:
            await statements[what](term.ddl)
        assert fenced.value.code == NotServing.code
        assert world.live("") == before
        assert not term.ddl.cleanup.running, "the successor cleans up"


async def test_without_the_serve_lease_nothing_leaves_the_house() -> None:
    world = World()
    async with world.term() as term:
        await a_collection(term.ddl)
        tried = len(world.faults.story)
        world.clock.advance(2e12)
        for statement in (
            term.ddl.create_collection(wanted("b")),
            term.ddl.create_collection(wanted("a")),
            term.ddl.create_collection(wanted("a", shards=1)),
            term.ddl.drop_collection("", "a"),
            term.ddl.drop_collection("", "n"),
            term.ddl.create_partition("", "a", "_default"),
            term.ddl.drop_alias("", "n"),
            term.ddl.drop_database("n"),
        ):
            with pytest.raises(NotServing):  # also where nothing would have been written
                await statement
        assert len(world.faults.story) == tried


@pytest.mark.parametrize("step", ["proxies", "send", "watch"])
async def test_whoever_hangs_is_given_up(step: str) -> None:
    world = World(deadlines=Deadlines(0.02, 0.02, 0.02))
    async with world.term() as term:
        hang = world.faults.hang(step)
        with pytest.raises(TooLate, match=r"did not answer within 0\.02 s"):
            await term.ddl.create_collection(wanted("a"))
        hang.set()
        await world.quiet(term)
        assert term.consistent() == []
        assert term.state.count() == 0


async def _killed(world: World, begin: Callable[[Term], Awaitable[None]], step: str) -> None:
    """Let a statement hang in `step`, and end the term then."""
    hang = world.faults.hang(step)
    tried = len(world.faults.tried(step))
    async with world.term() as term:
        waiting = asyncio.create_task(_swallow(begin(term)), name="caller")
        await world.until(lambda: len(world.faults.tried(step)) > tried, step_s=0.01)
    await waiting
    hang.set()


async def _swallow(call: Awaitable[None]) -> None:
    with pytest.raises(NotServing, match="the term ended first"):
        await call


@pytest.mark.parametrize("step", ["proxies", "send", "watch"])
async def test_a_create_killed_in_the_middle_is_rolled_back_by_the_next_term(step: str) -> None:
    world = World()
    await _killed(world, lambda term: term.ddl.create_collection(MANY), step)
    async with world.term() as term:
        await world.quiet(term)
        assert world.live("collection-info") == world.live("partitions") == {}
        assert world.live("fields") == {}
        assert term.consistent() == []
        await term.ddl.create_collection(MANY)
        assert term.consistent() == []


@pytest.mark.parametrize("at", range(4))
async def test_a_create_that_dies_between_two_writes(at: int) -> None:
    world = World()
    async with world.term() as term:
        world.etcd.hook = EtcdFault(at, sent=True, applied=True)
        writes = 0

        def successor(txn: Txn) -> tuple[EtcdError, bool] | None:
            nonlocal writes
            writes += 1
            if writes > at:
                raise asyncio.CancelledError
            return None

        world.etcd.hook = successor
        with pytest.raises(NotServing):
            await term.ddl.create_collection(MANY)
    world.etcd.hook = lambda _: None
    async with world.term() as term:
        assert len(list(term.state.unfinished())) == (at > 0)
        await world.quiet(term)
        assert world.live("collection-info") == world.live("partitions") == {}
        assert term.consistent() == []


@pytest.mark.parametrize("step", ["release", "index", "send", "ticked", "gc"])
async def test_a_drop_killed_in_the_middle_is_finished_by_the_next_term(step: str) -> None:
    world = World()
    async with world.term() as term:
        await a_collection(term.ddl)
    hang = world.faults.hang(step)
    async with world.term() as term:
        await term.ddl.drop_collection("", "a")
        await world.until(lambda: bool(world.faults.tried(step)), step_s=60.0)
    hang.set()
    async with world.term() as term:
        assert len(list(term.state.unfinished())) == 1
        await world.quiet(term)
        assert world.live("collection-info") == {}
        assert term.consistent() == []


@pytest.mark.parametrize("step", ["index", "send", "gc"])
async def test_a_dropped_partition_is_finished_by_the_next_term(step: str) -> None:
    world = World()
    async with world.term() as term:
        await a_collection(term.ddl)
        await term.ddl.create_partition("", "a", "p")
    hang = world.faults.hang(step)
    async with world.term() as term:
        await term.ddl.drop_partition("", "a", "p")
        await world.until(lambda: step in str(world.faults.story[-1]), step_s=60.0)
    hang.set()
    async with world.term() as term:
        assert len(list(term.state.dropping_partitions())) == 1
        await world.quiet(term)
        assert len(term.state.partitions(term.collection("a").id)) == 1
        assert term.consistent() == []
