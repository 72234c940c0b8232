"""Where ids and timestamps come from: our own allocators, or a RootCoord elsewhere."""

from __future__ import annotations

from typing import Protocol

from milvus_coord.model.timestamps import Timestamp


class Ids(Protocol):
    """Hands out ids; none twice."""

    async def take(self, count: int) -> int:
        """The first of `count` consecutive ids. Raises CoordError."""


class Timestamps(Protocol):
    """Hands out timestamps; each is larger than all before."""

    async def take(self, count: int) -> Timestamp:
        """The first of `count` consecutive timestamps. Raises CoordError."""
