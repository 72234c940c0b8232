"""What every DDL statement works with."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from milvus_coord.coordinators.rootcoord.collections.cleanup import Cleanup
from milvus_coord.coordinators.rootcoord.collections.ddl_channels import DmlChannels
from milvus_coord.coordinators.rootcoord.collections.ddl_effects import DdlEffects
from milvus_coord.coordinators.rootcoord.collections.ddl_limits import DdlLimits
from milvus_coord.coordinators.rootcoord.collections.ddl_locks import DdlLocks
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.runtime.clock import Clock


class Ids(Protocol):
    """Where ids come from."""

    async def take(self, count: int) -> int:
        """The first of `count` consecutive ids. Raises CoordError."""


class Stamps(Protocol):
    """Where timestamps of messages come from."""

    def stamp(self, channels: Iterable[str]) -> AbstractAsyncContextManager[Timestamp]:
        """A fresh timestamp; no tick at or above it goes to `channels` until the block ends."""


@dataclass(frozen=True, slots=True)
class DdlContext:
    """One set of them lives as long as the term."""

    store: Store
    locks: DdlLocks
    channels: DmlChannels
    ticks: Stamps
    ids: Ids
    effects: DdlEffects
    cleanup: Cleanup
    limits: DdlLimits
    clock: Clock
