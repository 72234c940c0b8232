"""Registers made of collection properties: clients write and read them, and keep book of it all."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from testing.daemon import boottime_s
from testing.ddl_callers import collection
from testing.ddl_client import Outcome, RootClient

PROPERTY: Final = "register"
NAMES: Final = ("register_0", "register_1")
_PAUSE_S: Final = 0.03
_READ_PAUSE_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Write:
    """One try to give a register a value that nobody else ever gives it.

    `acked_s` is None when no success was seen: then it may have taken effect or not. `address`
    is "" when the run ended before the try did.
    """

    name: str
    value: int
    address: str
    sent_s: float
    acked_s: float | None


@dataclass(frozen=True, slots=True)
class Read:
    """One answered read; `value` is None where the register had none yet."""

    name: str
    value: int | None
    address: str
    sent_s: float
    received_s: float


class Registers:
    """Every write and every answered read of a run."""

    def __init__(self, names: Sequence[str], randomness: random.Random) -> None:
        self.names = tuple(names)
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self._values = itertools.count(1)
        self._random = randomness
        self.stopping = False

    async def make(self, client: RootClient) -> None:
        """Create the collections that hold the registers."""
        for name in self.names:
            await client.ask("CreateCollection", **collection(name))

    async def write(self, client: RootClient) -> None:
        """One writer, until told to stop. A new try always carries a new value."""
        while not self.stopping:
            name, value = self._random.choice(self.names), next(self._values)
            fields: dict[str, Any] = {
                "collection_name": name,
                "properties": [{"key": PROPERTY, "value": str(value)}],
            }
            sent_s = boottime_s()
            self.writes.append(Write(name, value, "", sent_s, None))  # while nobody knows more
            at = len(self.writes) - 1
            tried = await client.attempt("AlterCollection", **fields)
            acked_s = boottime_s() if tried.outcome is Outcome.OK else None
            self.writes[at] = Write(name, value, tried.address, sent_s, acked_s)
            await asyncio.sleep(_PAUSE_S)

    async def read(self, client: RootClient) -> None:
        """One reader, until told to stop."""
        while not self.stopping:
            name = self._random.choice(self.names)
            sent_s = boottime_s()
            tried = await client.attempt("DescribeCollection", collection_name=name)
            if tried.outcome is Outcome.OK:
                value = next(
                    (int(each.value) for each in tried.reply.properties if each.key == PROPERTY),
                    None,
                )
                self.reads.append(Read(name, value, tried.address, sent_s, boottime_s()))
            await asyncio.sleep(_READ_PAUSE_S)


@asynccontextmanager
async def registers(
    writers: Sequence[RootClient], readers: Sequence[RootClient], randomness: random.Random
) -> AsyncIterator[Registers]:
    """The registers exist inside the block, and all those clients use them."""
    made = Registers(NAMES, randomness)
    await made.make(writers[0])
    async with asyncio.TaskGroup() as tasks:
        for number, client in enumerate(writers):
            tasks.create_task(made.write(client), name=f"register writer {number}")
        for number, client in enumerate(readers):
            tasks.create_task(made.read(client), name=f"register reader {number}")
        try:
            yield made
        finally:
            made.stopping = True
