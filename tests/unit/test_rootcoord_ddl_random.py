"""Random statements, random trouble, terms that die: what is stored stays sound and readable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milvus_coord.coordinators.rootcoord.collections.ddl import Ddl
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.etcd.errors import EtcdError, NoSpace, Unavailable
from milvus_coord.etcd.txn import Txn
from milvus_coord.model.collection import CollectionState
from milvus_coord.model.errors import CoordError
from testing.forms import examples
from testing.limits import DDL_LIMITS
from testing.metadata import META_ROOT
from testing.role_world import Broken
from testing.rootcoord_world import Term, World, wanted

NAMES = "abc"
DATABASES = ("", "d")
LIMITS = replace(
    DDL_LIMITS, dml_channel_num=4, max_collections=6, max_partitions=3, max_databases=2
)


class Trouble:
    """Fails one step in `one_in`, etcd's writes with every possible outcome."""

    def __init__(self, world: World, random: Random, one_in: int) -> None:
        self._random, self._one_in = random, one_in
        world.faults.chance = self._step
        world.etcd.hook = self._write

    def stop(self) -> None:
        self._one_in = 0

    def _strikes(self) -> bool:
        return bool(self._one_in) and self._random.randrange(self._one_in) == 0

    def _step(self, step: str) -> Exception | None:
        return Broken(f"{step} is broken") if self._strikes() else None

    def _write(self, txn: Txn) -> tuple[EtcdError, bool] | None:
        if not self._strikes():
            return None
        applied = self._random.random() < 0.5
        if self._random.random() < 0.3:
            return NoSpace("no space"), applied
        return Unavailable("no answer", sent=applied or self._random.random() < 0.5), applied


def statement(ddl: Ddl, random: Random) -> Awaitable[None]:
    name, other, db, other_db = (
        random.choice(NAMES),
        random.choice(NAMES),
        random.choice(DATABASES),
        random.choice(DATABASES),
    )
    statements: list[Callable[[], Awaitable[None]]] = [
        lambda: ddl.create_collection(wanted(name, db, shards=random.randint(1, 3))),
        lambda: ddl.create_collection(wanted(name, db)),
        lambda: ddl.drop_collection(db, name),
        lambda: ddl.create_partition(db, name, other),
        lambda: ddl.drop_partition(db, name, other),
        lambda: ddl.create_alias(db, name, f"{other}1"),
        lambda: ddl.create_alias(db, name, other),
        lambda: ddl.alter_alias(db, name, f"{other}1"),
        lambda: ddl.drop_alias(db, f"{other}1"),
        lambda: ddl.alter_collection(db, name, ((other, name),)),
        lambda: ddl.rename_collection(db, name, other_db, other),
        lambda: ddl.create_database("d"),
        lambda: ddl.drop_database("d"),
    ]
    return random.choice(statements)()


async def attempt(call: Awaitable[None]) -> None:
    """Only errors that are ours may come of a statement."""
    with suppress(CoordError):
        await call


async def live(world: World, random: Random, batches: int) -> None:
    """One term, which may die with statements and cleanup under way."""
    async with world.term() as term:
        calls: list[asyncio.Task[None]] = []
        for _ in range(batches):
            for _ in range(random.randint(1, 4)):
                work = attempt(statement(term.ddl, random))
                calls.append(asyncio.create_task(work, name="caller"))
            await world.turns(random.randint(0, 60))
            if random.random() < 0.3:
                world.clock.advance(random.choice((1, 60, 1300)))
            assert term.state.check() == []
        if random.random() < 0.5:
            await world.until(lambda: all(call.done() for call in calls))
    await world.until(lambda: all(call.done() for call in calls))
    for call in calls:
        call.result()  # whatever else came of it is a bug


def picture(state: MetaState) -> list[object]:
    """All there is, to be compared."""
    return [
        (database, sorted(state.collections(database.id), key=lambda c: c.id))
        for database in state.databases()
    ] + [
        (state.partitions(c.id), sorted(state.aliases_of(c.id)))
        for database in state.databases()
        for c in sorted(state.collections(database.id), key=lambda c: c.id)
    ]


def check_snapshots(world: World) -> None:
    """Go reads plain keys and the newest snapshots, each for something else: they must agree."""
    root = f"{META_ROOT}/root-coord/".encode()
    plain = {kv.key: kv.value for kv in world.etcd.store.range(root, root[:-1] + b"0")}
    newest: dict[bytes, tuple[int, bytes]] = {}
    prefix = f"{META_ROOT}/snapshots/".encode()
    for kv in world.etcd.store.range(prefix, prefix[:-1] + b"0"):
        key, _, ts = kv.key.rpartition(b"_ts")
        key = f"{META_ROOT}/".encode() + key.removeprefix(prefix)
        newest[key] = max(newest.get(key, (0, b"")), (int(ts), kv.value))
    assert plain == {key: value for key, (_, value) in newest.items()}


async def check_names(term: Term) -> None:
    """No two collections of one name; each that is left is whole and whom ticks count."""
    seen = set()
    for database in term.state.databases():
        for collection in term.state.collections(database.id):
            assert (database.id, collection.name) not in seen
            seen.add((database.id, collection.name))
            assert collection.state is CollectionState.CREATED
            assert len(collection.fields) == 4
            assert term.state.partitions(collection.id)


@settings(max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), terms=st.integers(1, 3), one_in=st.sampled_from([0, 3, 8, 20]))
async def test_whatever_happens_the_metadata_stays_sound(
    seed: int, terms: int, one_in: int
) -> None:
    random = Random(seed)
    world = World(limits=LIMITS)
    async with world.term():
        pass  # the default database is there
    trouble = Trouble(world, random, one_in)
    for _ in range(terms):
        await live(world, random, batches=6)
    trouble.stop()
    async with world.term() as term:
        await world.quiet(term)
        assert term.consistent() == []
        assert not list(term.state.unfinished())
        assert not list(term.state.dropping_partitions())
        await check_names(term)
        before = picture(term.state)
    check_snapshots(world)
    async with world.term() as term:
        assert picture(term.state) == before, "read anew it is the same"
        assert term.consistent() == []
