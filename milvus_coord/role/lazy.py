"""A leader whose code is loaded once the process stands by: most of a start, and needed last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.mirror import Mirror

if TYPE_CHECKING:
    from milvus_coord.role.lead import PortLeader


class LazyLeader:
    """Implements `ha.term.Leader`; `make` makes the real one, in a thread.

    Until it is loaded we are not ready to take over, and say so; a term that begins all the same,
    because nobody else is there, waits for it.
    """

    def __init__(self, make: Callable[[], PortLeader]) -> None:
        self._make = make
        self._loaded: asyncio.Future[PortLeader] = asyncio.get_running_loop().create_future()

    async def load(self) -> PortLeader:
        """Load. Raises what loading raises, which is a bug or a mistake in the settings."""
        leader = await asyncio.to_thread(self._make)
        await leader.warm_up()
        self._loaded.set_result(leader)
        return leader

    @property
    def obstacles(self) -> tuple[str, ...]:
        if not self._loaded.done():
            return ("the role's code is being loaded",)
        return self._loaded.result().obstacles

    @property
    def has_port(self) -> bool:
        return not self._loaded.done() or self._loaded.result().has_port

    @property
    def mirror(self) -> Mirror[Any] | None:
        """What the role keeps of etcd; None until it is loaded."""
        return self._loaded.result().mirror if self._loaded.done() else None

    async def activate(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        leader = await asyncio.shield(self._loaded)
        await leader.activate(term, tasks)

    async def admit(self) -> None:
        await self._loaded.result().admit()

    async def finish(self) -> None:
        if self._loaded.done():
            await self._loaded.result().finish()

    async def abandon(self) -> None:
        if self._loaded.done():
            await self._loaded.result().abandon()
