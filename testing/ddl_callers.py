"""Callers that make, change and drop collections side by side, and know what must come of it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from testing import messages
from testing.ddl_client import IN_DOUBT, PAUSE_S, Late, Outcome, RootClient, Try

PARTITION: Final = "p"
_STATEMENT_S: Final = 30.0
FIELD_IDS: Final = {0, 1, 100, 101, 102}
_INT64, _FLOAT_VECTOR = 5, 101


@dataclass(slots=True)
class Book:
    """One collection and what was acknowledged about it; None where nobody can know.

    `names`: it goes by one of these. The dictionaries say of each name whether it is there.
    """

    names: tuple[str, ...]
    there: bool | None = False
    partitions: dict[str, bool | None] = field(default_factory=dict)
    aliases: dict[str, bool | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.names[-1]


@dataclass(frozen=True, slots=True)
class Done:
    """An acknowledged statement: `tries` are all it took, the last of them was the answer."""

    rpc: str
    book: Book
    tries: tuple[Try, ...]

    @property
    def by(self) -> str:
        """The address that acknowledged."""
        return self.tries[-1].address


class Callers:
    """What all callers together have seen.

    Attributes:
        books: every collection that somebody wanted.
        done: what was acknowledged, in order.
        tries: how many tries ended how.
        refusals: answers that users would see as errors.
    """

    def __init__(self, client: RootClient) -> None:
        self.client = client
        self.books: list[Book] = []
        self.done: list[Done] = []
        self.tries: Counter[Outcome] = Counter()
        self.refusals: list[str] = []
        self.stopping = False
        self._doubts: dict[tuple[str, str], Callable[[bool], None]] = {}
        self._progress = asyncio.Event()

    async def more(self, count: int, *, by: str = "", within_s: float = 30.0) -> None:
        """Until so many more statements are acknowledged, by this address if one is given."""
        began = len(self.done)
        try:
            async with asyncio.timeout(within_s):
                while sum(by in ("", one.by) for one in self.done[began:]) < count:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            done = len(self.done) - began
            raise AssertionError(
                f"{done} of {count} done in {within_s} s; {self.tries}; {self.refusals[-3:]}"
            ) from None

    @property
    def abandoned(self) -> int:
        """How many statements were given up when a try had failed."""
        return len(self._doubts)

    def take_late(self, late: Sequence[Late]) -> None:
        """What was acknowledged after its caller had given up counts as done."""
        for one in late:
            effect = self._doubts.get((one.rpc, one.name))
            if one.outcome is Outcome.OK and effect is not None:
                effect(True)

    async def run(self, who: int, *, stubborn: bool) -> None:
        """One caller; one that is not stubborn gives a statement up when its outcome is lost."""
        for number in itertools.count():
            if not await self._write_book(f"{who}_{number}", number, stubborn):
                return

    async def _write_book(self, suffix: str, number: int, stubborn: bool) -> bool:
        """The life of one collection, to the end or until a statement was given up."""
        name, renamed, alias = f"c{suffix}", f"r{suffix}", f"a{suffix}"
        book = Book((name,))
        self.books.append(book)

        def there(sure: bool | None) -> None:
            book.there = sure

        def gone(sure: bool | None) -> None:
            book.there = None if sure is None else False

        def has_partition(sure: bool | None) -> None:
            book.partitions[PARTITION] = sure

        def has_alias(sure: bool | None) -> None:
            book.aliases[alias] = sure

        def has_new_name(sure: bool | None) -> None:
            book.names = (name, renamed) if sure is None else (renamed,)

        story: list[tuple[Callable[[bool | None], None], str, dict[str, Any]]] = [
            (there, "CreateCollection", collection(name)),
            (has_partition, "CreatePartition", partition(name, PARTITION)),
            (has_alias, "CreateAlias", {"collection_name": name, "alias": alias}),
        ]
        if number % 3 == 1:
            story.append((has_new_name, "RenameCollection", {"oldName": name, "newName": renamed}))
        if number % 3 == 2:
            story.append((gone, "DropCollection", {"collection_name": name}))
        for effect, rpc, fields in story:
            if self.stopping:
                return False
            known = await self._state(book, rpc, fields, stubborn)
            effect(known)
            if known is None:
                self._doubts[rpc, name] = effect
                break
        return True

    async def _state(
        self, book: Book, rpc: str, fields: dict[str, Any], stubborn: bool
    ) -> bool | None:
        """True when the statement is done, None when it was given up."""
        tries: list[Try] = []
        async with asyncio.timeout(_STATEMENT_S):
            while True:
                tried = await self.client.attempt(rpc, **fields)
                tries.append(tried)
                self.tries[tried.outcome] += 1
                doubtful = any(each.outcome in IN_DOUBT for each in tries)
                if tried.outcome is Outcome.OK or _was_done(rpc, tried, doubtful):
                    self.done.append(Done(rpc, book, tuple(tries)))
                    self._progress.set()
                    return True
                if tried.outcome is Outcome.REFUSED:
                    self.refusals.append(f"{rpc} {book.name}: {tried.detail}")
                if doubtful and not stubborn:
                    return None
                await asyncio.sleep(PAUSE_S)


def _was_done(rpc: str, tried: Try, doubtful: bool) -> bool:
    """Only a rename cannot be repeated: that the old name is gone shows that it was done."""
    words = ("duplicated new collection name", "can't find collection")
    refused = doubtful and tried.outcome is Outcome.REFUSED
    return refused and rpc == "RenameCollection" and any(each in tried.detail for each in words)


@asynccontextmanager
async def calling(client: RootClient, *, stubborn: int, fickle: int = 0) -> AsyncIterator[Callers]:
    """So many callers inside the block; after it each has ended the statement it was at."""
    callers = Callers(client)
    async with asyncio.TaskGroup() as tasks:
        for who in range(stubborn + fickle):
            run = callers.run(who, stubborn=who < stubborn)
            tasks.create_task(run, name=f"caller {who}")
        yield callers
        callers.stopping = True


def collection(name: str, *, dim: int = 16) -> dict[str, Any]:
    """The fields of a CreateCollection: a key, a vector and a number, two shards."""
    schema = messages.message_class("schema.CollectionSchema")(name=name)
    schema.fields.add(fieldID=100, name="id", is_primary_key=True, data_type=_INT64)
    vector = schema.fields.add(fieldID=101, name="v", data_type=_FLOAT_VECTOR)
    vector.type_params.add(key="dim", value=str(dim))
    schema.fields.add(fieldID=102, name="n", data_type=_INT64)
    return {
        "collection_name": name,
        "schema": schema.SerializeToString(),
        "shards_num": 2,
        "consistency_level": 2,
    }


def partition(collection_name: str, name: str) -> dict[str, Any]:
    """The fields of a CreatePartition."""
    return {"collection_name": collection_name, "partition_name": name}
