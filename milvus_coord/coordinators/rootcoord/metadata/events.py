"""What can happen to RootCoord's metadata, one event for each key that is written or gone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from milvus_coord.model.collection import Collection, Partition
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.schema import Field


class AliasHome(IntEnum):
    """Where the record of an alias is kept; of several records the highest home wins.

    The old ones hold aliases of the default database. Go 2.2.16 loads them in this order too.
    """

    OLDEST = 0
    """`collection-alias/<alias>`, before 2.1."""
    DATABASE = 1
    """`database/aliases/<db>/<alias>`, today's."""
    OLD = 2
    """`aliases/<alias>`, before databases; Go writes it still for collections of that time."""


@dataclass(frozen=True, slots=True)
class DatabasePut:
    """The database is there, as given."""

    database: Database


@dataclass(frozen=True, slots=True)
class DatabaseDeleted:
    """The database is not there."""

    database_id: int


@dataclass(frozen=True, slots=True)
class CollectionPut:
    """The record of a collection is there.

    Its fields and partitions have events of their own, unless the record is of the old layout that
    holds them itself: then `collection.fields` is not empty.
    """

    collection: Collection
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionDeleted:
    """There is no record under this database; a collection that moved has one under another."""

    database_id: int
    collection_id: int


@dataclass(frozen=True, slots=True)
class PartitionPut:
    """The partition is there, as given."""

    partition: Partition


@dataclass(frozen=True, slots=True)
class PartitionDeleted:
    """The partition is not there."""

    collection_id: int
    partition_id: int


@dataclass(frozen=True, slots=True)
class FieldPut:
    """The collection has this field."""

    collection_id: int
    field: Field


@dataclass(frozen=True, slots=True)
class FieldDeleted:
    """The collection has no field of this id."""

    collection_id: int
    field_id: int


@dataclass(frozen=True, slots=True)
class AliasPut:
    """A record of an alias is there; `alias.db_id` is of today's kind also for an old home."""

    alias: Alias
    home: AliasHome = AliasHome.DATABASE


@dataclass(frozen=True, slots=True)
class AliasDeleted:
    """There is no record of the alias in this home."""

    database_id: int
    name: str
    home: AliasHome = AliasHome.DATABASE


Deletion: TypeAlias = (
    DatabaseDeleted | CollectionDeleted | PartitionDeleted | FieldDeleted | AliasDeleted
)


@dataclass(frozen=True, slots=True)
class Damaged:
    """The value of `key` says nothing: what it should hold counts as gone.

    A collection of which a field or partition is damaged is not served. `gone` is that loss as an
    event, also one of the access side, or None for a key that is no good itself.
    """

    key: bytes
    reason: str
    gone: object | None


@dataclass(frozen=True, slots=True)
class Mended:
    """A key that was damaged has been written or deleted; comes before the event of that."""

    key: bytes
