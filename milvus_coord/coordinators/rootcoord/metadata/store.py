"""The metadata as DDL statements use it: look up, write, and decide when etcd does not tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.etcd.errors import EtcdError, NoSpace, Unavailable
from milvus_coord.etcd.txn import Op
from milvus_coord.model.collection import Collection
from milvus_coord.model.errors import CollectionNotFound, CoordError
from milvus_coord.model.timestamps import Timestamp

COMMIT_S: Final = 30.0
"""How long a write may take until the state shows it, etcd's own deadlines included."""
SETTLE_S: Final = 10.0
"""How long a caller waits to learn what became of a write whose answer was lost."""

Transactions: TypeAlias = Sequence[tuple[Op, ...]]


class Metadata(Protocol):
    """One term's reading and writing."""

    @property
    def state(self) -> MetaState: ...

    async def commit(self, transactions: list[tuple[Op, ...]]) -> None: ...

    async def settle(self) -> None: ...


class Timestamps(Protocol):
    """Where timestamps come from; each is larger than all before."""

    async def take(self, count: int) -> Timestamp: ...


class Unsure(CoordError):
    """A write was sent, and nobody could say whether it took effect."""


class Store:
    """One term's metadata. `catalog` builds what `write` is given."""

    def __init__(
        self,
        metadata: Metadata,
        catalog: Catalog,
        timestamps: Timestamps,
        require_lease: Callable[[], None],
    ) -> None:
        self._metadata, self._timestamps = metadata, timestamps
        self._require_lease = require_lease
        self.catalog = catalog

    @property
    def state(self) -> MetaState:
        """What is stored as far as we know; ask anew after every await."""
        return self._metadata.state

    @property
    def current(self) -> MetaState:
        """What is stored right now: for decisions that no write proves, such as a refusal.

        Without the serve lease a successor may have gone on. Raises NotServing.
        """
        self._require_lease()
        return self._metadata.state

    async def now(self) -> Timestamp:
        """A fresh timestamp. Take it with the locks held: those in snapshots grow key by key."""
        return await self._timestamps.take(1)

    async def find(self, db_name: str, name: str) -> Collection:
        """The collection that users mean by `name`; Raises DatabaseNotFound, CollectionNotFound.

        In the words of Go 2.2.16 for a lookup at the time of a statement.
        """
        state = self.current
        database = state.require_database(db_name)
        try:
            return state.resolve(db_name, name)
        except CollectionNotFound:
            reason = f"can't find collection {database.id}:{name}, at timestamp = "
        raise CollectionNotFound(f"{reason}{await self.now()}")

    async def write(
        self, transactions: Transactions, *, applied: Callable[[MetaState], bool]
    ) -> None:
        """Write `transactions` in order; return when the state shows them.

        When an answer is lost, `applied` decides by the state once that has settled. Raises
        FencedOff; Unsure when that could not be learned in time; etcd's errors when there is
        less than was to be written.
        """
        try:
            async with asyncio.timeout(COMMIT_S):
                await self._metadata.commit(list(transactions))
        except (Unavailable, NoSpace, TimeoutError) as trouble:
            if isinstance(trouble, Unavailable) and not trouble.sent:
                raise
            await self._settle(trouble)
            if not applied(self.state):
                raise _as_error(trouble) from trouble

    async def settle(self) -> None:
        """Return when nothing is on its way any more that was sent before. Raises CoordError."""
        await self._metadata.settle()

    async def _settle(self, trouble: Exception) -> None:
        try:
            async with asyncio.timeout(SETTLE_S):
                await self._metadata.settle()
        except (EtcdError, TimeoutError):
            raise Unsure(f"etcd did not say whether it was written: {trouble}") from trouble


def _as_error(trouble: Exception) -> CoordError:
    if isinstance(trouble, CoordError):
        return trouble
    return Unsure(f"not written within {COMMIT_S:g} s")
