"""The clients of a rig that change and read metadata, and keep book of it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.errors import EtcdError
from testing.ddl_callers import Book, Callers, calling
from testing.ddl_client import ACTIVE_KEY, Find, RootClient, Try, always
from tests.rig.registers import NAMES, Registers, registers

_PACE_S: Final = 0.05
_WRITERS: Final = 2


class PacedClient(RootClient):
    """Leaves the machine some time for others between two tries."""

    async def attempt(self, rpc: str, *, try_s: float = 0.0, **fields: Any) -> Try:
        await asyncio.sleep(_PACE_S)
        return await super().attempt(rpc, try_s=try_s, **fields)


def active_through(etcd: EtcdClient, addresses: Mapping[str, str]) -> Find:
    """Finds the active as clients reach it; `addresses` has that for the address in its session."""

    async def find() -> str:
        try:
            found = (await etcd.get(ACTIVE_KEY, timeout_s=1.0)).kv
            named = json.loads(found.value)["Address"] if found is not None else ""
            return addresses.get(named, "")
        except (EtcdError, ValueError, KeyError):
            return ""

    return find


@dataclass(frozen=True, slots=True)
class Statements:
    """What all who make, change and drop collections have seen."""

    callers: Callers
    registers: Registers


@asynccontextmanager
async def statements(
    etcd: EtcdClient, addresses: Mapping[str, str], randomness: random.Random
) -> AsyncIterator[Statements]:
    """They work inside the block; after it each has ended what it was at.

    Readers ask every coordinator, no matter who leads, as a proxy with an old connection does.
    """
    find = active_through(etcd, addresses)
    async with AsyncExitStack() as stack:

        def client(how: Find, kind: type[RootClient] = RootClient) -> RootClient:
            made = kind(how, try_s=1.0)
            stack.callback(made.close)
            return made

        writers = [client(find) for _ in range(_WRITERS)]
        readers: Sequence[RootClient] = [client(always(each)) for each in addresses.values()]
        caller = client(find, PacedClient)
        kept = await stack.enter_async_context(registers(writers, readers, randomness))
        callers = await stack.enter_async_context(calling(caller, stubborn=1, fickle=1))
        for name in NAMES:
            callers.books.append(_register(name))
        yield Statements(callers, kept)


def _register(name: str) -> Book:
    return Book((name,), there=True)
