"""Imports: their settings, the job of a user, and the calls of DataCoord."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from milvus_coord.clients.datacoord import ImportOrder
from milvus_coord.model.schema import Pairs


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """`rootCoord.import*`; the intervals are fixed in Go 2.2.16."""

    expiration_s: float
    retention_s: float
    max_pending: int
    sub_path: str
    send_every_s: float = 60.0
    flip_every_s: float = 2.0
    clean_every_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ImportJob:
    """One import that a user asked for.

    `partition_id` is 0 and the name empty where the partition key chooses the partitions.
    """

    collection_id: int
    collection_name: str
    partition_id: int
    partition_name: str
    virtual_channels: tuple[str, ...]
    files: tuple[str, ...]
    options: Pairs
    database_name: str


class DataCoord(Protocol):
    """The calls of `clients.datacoord.DataCoordClient`; each raises CallError."""

    async def import_(self, order: ImportOrder) -> int: ...

    async def flush(self, collection_id: int, segment_ids: Sequence[int]) -> None: ...

    async def segment_states(self, segment_ids: Sequence[int]) -> tuple[int, ...]: ...

    async def unset_importing(self, segment_ids: Sequence[int]) -> None: ...
