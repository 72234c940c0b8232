"""Statements side by side: who waits for whom, and who must not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import pytest

from milvus_coord.model.errors import CoordError, NotServing, Refused
from testing.limits import DDL_LIMITS
from testing.role_world import Broken
from testing.rootcoord_world import Term, World, wanted


async def outcomes(*calls: Awaitable[None]) -> list[str]:
    """ "" for each that succeeded, else the text of its error."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        assert result is None or isinstance(result, CoordError), repr(result)
    return [str(result or "") for result in results]


async def test_a_thousand_creates_of_one_name_make_one_collection() -> None:
    world = World()
    async with world.term() as term:
        alike = [term.ddl.create_collection(wanted("a")) for _ in range(500)]
        other = [term.ddl.create_collection(wanted("a", shards=1)) for _ in range(500)]
        mixed = [call for pair in zip(alike, other, strict=True) for call in pair]
        results = await outcomes(*mixed)
        assert results[::2] == [""] * 500
        different = "create duplicate collection with different parameters, collection: a"
        assert results[1::2] == [different] * 500
        assert len(world.effects.watched) == 1
        assert len(world.effects.sent) == 2
        assert term.state.count() == 1
        assert term.consistent() == []


async def test_many_creates_of_different_names() -> None:
    world = World()
    async with world.term() as term:
        await asyncio.gather(*(term.ddl.create_collection(wanted(f"c{i}")) for i in range(160)))
        assert term.state.count() == 160
        counts = term.state.channels_in_use()
        assert set(counts.values()) == {20}, "16 channels share 320 shards evenly"
        assert term.consistent() == []


async def test_when_the_first_of_many_fails_the_next_one_makes_it() -> None:
    world = World()
    async with world.term() as term:
        world.faults.fail("watch", times=3)
        results = await outcomes(*(term.ddl.create_collection(wanted("a")) for _ in range(10)))
        assert results == ["watch is broken"] * 3 + [""] * 7
        await world.quiet(term)
        assert term.state.count() == 1
        assert term.consistent() == []


async def test_limits_count_what_is_being_made() -> None:
    world = World(limits=replace(DDL_LIMITS, max_collections_per_db=10, max_databases=4))
    async with world.term() as term:
        results = await outcomes(*(term.ddl.create_collection(wanted(f"c{i}")) for i in range(50)))
        assert results.count("") == 10 == term.state.count()
        assert set(results[10:]) == {
            "exceeded the limit number of collections per DB, maxCollectionNumPerDB={10}"
        }
        results = await outcomes(*(term.ddl.create_database(f"d{i}") for i in range(9)))
        assert results.count("") == 4
        assert set(results[4:]) == {"database number (5) exceeds max configuration (4)"}
        world.faults.fail("watch", times=100)
        await term.ddl.drop_collection("", "c0")
        results = await outcomes(*(term.ddl.create_collection(wanted(f"e{i}")) for i in range(3)))
        assert results.count("watch is broken") >= 1, "what failed counts no more"
        await world.quiet(term)
        assert term.consistent() == []


async def furnish(term: Term) -> None:
    for name in "abc":
        await term.ddl.create_collection(wanted(name))
    await term.ddl.create_partition("", "a", "p")
    await term.ddl.create_database("d")


HANGING: Final[dict[str, tuple[str, Callable[[Term], Awaitable[None]]]]] = {
    "a proxy, in a create": ("proxies", lambda t: t.ddl.create_collection(wanted("n"))),
    "a proxy, in a drop": ("proxies", lambda t: t.ddl.drop_collection("", "a")),
    "a proxy, in a partition": ("proxies", lambda t: t.ddl.create_partition("", "a", "q")),
    "a proxy, in an alias": ("proxies", lambda t: t.ddl.create_alias("", "a", "n")),
    "the queue": ("send", lambda t: t.ddl.create_collection(wanted("n"))),
    "datacoord, in a create": ("watch", lambda t: t.ddl.create_collection(wanted("n"))),
    "datacoord, in an alteration": (
        "altered",
        lambda t: t.ddl.alter_collection("", "a", (("k", "v"),)),
    ),
}


@pytest.mark.parametrize("who", HANGING)
async def test_one_that_hangs_stops_no_other_statement(who: str) -> None:
    world = World()
    async with world.term() as term:
        await furnish(term)
        step, statement = HANGING[who]
        hang = world.faults.hang(step)
        tried = len(world.faults.tried(step))
        hanging = asyncio.ensure_future(statement(term))
        await world.until(lambda: len(world.faults.tried(step)) > tried, step_s=0.0)
        world.faults.let_pass(step)
        await term.ddl.create_collection(wanted("m"))
        await term.ddl.rename_collection("", "c", "d", "c")
        await term.ddl.create_partition("", "b", "q")
        await term.ddl.create_alias("", "b", "x")
        await term.ddl.create_database("e")
        await term.ddl.drop_database("e")
        await term.ddl.alter_collection("", "x", (("k", "v"),))
        await term.ddl.drop_partition("", "b", "q")
        await term.ddl.drop_collection("", "b")
        assert not hanging.done()
        if step == "proxies":
            assert not term.ticks.held, "no channel waits for a proxy"
        hang.set()
        await hanging
        await world.quiet(term)
        assert term.consistent() == []


async def test_a_database_in_which_something_is_being_made_is_not_empty() -> None:
    world = World()
    async with world.term() as term:
        await term.ddl.create_database("d")
        hang = world.faults.hang("watch")
        creating = asyncio.ensure_future(term.ddl.create_collection(wanted("a", "d")))
        await world.until(lambda: bool(world.faults.tried("watch")), step_s=0.0)
        with pytest.raises(Refused, match="database:d not empty"):
            await term.ddl.drop_database("d")
        hang.set()
        await creating
        assert term.consistent() == []


async def test_a_caller_that_hangs_up_cancels_nothing() -> None:
    world = World()
    async with world.term() as term:
        hang = world.faults.hang("watch")
        caller = asyncio.ensure_future(term.ddl.create_collection(wanted("a")))
        await world.until(lambda: bool(world.faults.tried("watch")), step_s=0.0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert term.state.count() == 0
        hang.set()
        await world.until(lambda: term.state.count() == 1, step_s=0.0)
        await world.until(lambda: not term.ddl.jobs.running, step_s=0.0)
        assert term.consistent() == []


async def test_a_bug_in_a_statement_is_its_callers_alone() -> None:
    world = World()
    async with world.term() as term:
        world.faults.fail("watch", ValueError("a bug"))
        with pytest.raises(ValueError, match="a bug"):
            await term.ddl.create_collection(wanted("a"))
        await term.ddl.create_collection(wanted("b"))
        await world.quiet(term)
        assert term.consistent() == []


async def test_too_many_statements_are_refused_in_clear_words() -> None:
    world = World(jobs_max=3)
    async with world.term() as term:
        hang = world.faults.hang("watch")
        waiting = [
            asyncio.ensure_future(term.ddl.create_collection(wanted(f"c{i}"))) for i in range(3)
        ]
        await world.until(lambda: len(world.faults.tried("watch")) == 3, step_s=0.0)
        with pytest.raises(Refused) as refused:
            await term.ddl.create_collection(wanted("n"))
        assert str(refused.value) == (
            "create collection n: 3 statements are waiting already, try later"
        )
        hang.set()
        await asyncio.gather(*waiting)
        await term.ddl.create_collection(wanted("n"))
        assert term.consistent() == []


async def test_after_the_term_callers_are_told_to_look_elsewhere() -> None:
    world = World()
    async with world.term() as term:
        world.faults.hang("watch")
        callers = [asyncio.ensure_future(term.ddl.create_collection(wanted("a"))) for _ in range(3)]
        await world.until(lambda: bool(world.faults.tried("watch")), step_s=0.0)
        late = asyncio.ensure_future(term.ddl.create_collection(wanted("b")))
    for caller in callers:
        with pytest.raises(NotServing, match="the term ended first"):
            await caller
    with pytest.raises(NotServing):
        await late
    with pytest.raises(NotServing, match="not begun, the term is over"):
        await term.ddl.create_collection(wanted("c"))


async def test_partition_and_collection_dropped_at_once() -> None:
    world = World()
    async with world.term() as term:
        await furnish(term)
        results = await outcomes(
            term.ddl.create_partition("", "a", "q"),
            term.ddl.drop_partition("", "a", "p"),
            term.ddl.create_alias("", "a", "x"),
            term.ddl.drop_collection("", "a"),
            term.ddl.create_partition("", "a", "r"),
            term.ddl.alter_collection("", "a", (("k", "v"),)),
            term.ddl.create_collection(wanted("a")),
        )
        assert results[:4] == ["", "", "", ""], "in the order in which they came"
        assert all("can't find collection" in text for text in results[4:6])
        assert results[6] == "", "made anew, or still there when it was its turn"
        await world.quiet(term)
        assert term.consistent() == []


async def test_rename_and_create_want_the_same_name() -> None:
    world = World()
    async with world.term() as term:
        await furnish(term)
        results = await outcomes(
            term.ddl.rename_collection("", "a", "", "n"),
            term.ddl.create_collection(wanted("n")),
            term.ddl.rename_collection("", "b", "", "n"),
            term.ddl.create_alias("", "c", "n"),
        )
        assert results.count("") >= 1
        assert len({c.id for c in term.state.collections(1) if c.name == "n"}) == 1
        assert term.state.alias(1, "n") is None
        assert term.consistent() == []


async def test_errors_do_not_mix() -> None:
    world = World()
    async with world.term() as term:
        world.faults.fail("send", Broken("first"))
        results = await outcomes(*(term.ddl.create_collection(wanted(f"c{i}")) for i in range(5)))
        assert sorted(results) == ["", "", "", "", "first"]
        assert term.consistent() == []
