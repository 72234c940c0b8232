"""Databases and aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from milvus_coord.model.errors import NotFound
from milvus_coord.model.timestamps import Timestamp

DEFAULT_DATABASE: Final = "default"
DEFAULT_DATABASE_ID: Final = 1
NO_DATABASE_ID: Final = 0
"""Collections of before databases carry it; they belong to `default`."""


@dataclass(frozen=True, slots=True)
class Database:
    """A named space of collections; `created_ns` is Unix nanoseconds of a wall clock."""

    id: int
    name: str
    created_ns: int


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a collection."""

    name: str
    db_id: int
    collection_id: int
    created_at: Timestamp


class DatabaseNotFound(NotFound):
    """No database goes by this name; the words are Go 2.2.16's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"database:{name} not found")
