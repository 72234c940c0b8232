"""The keys below the meta root, relative to it: `root-coord/...`."""

from __future__ import annotations

import re
from typing import Final

from milvus_coord.coordinators.rootcoord.metadata.events import (
    AliasDeleted,
    AliasHome,
    CollectionDeleted,
    DatabaseDeleted,
    Deletion,
    FieldDeleted,
    PartitionDeleted,
)
from milvus_coord.model.database import DEFAULT_DATABASE_ID, NO_DATABASE_ID
from milvus_coord.model.errors import BadValue

ROOM: Final = "root-coord"
_ID: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_ID_MAX: Final = 2**63 - 1
_SHOWN: Final = 200
DATABASES: Final = f"{ROOM}/database/db-info"
COLLECTIONS: Final = f"{ROOM}/database/collection-info"
ALIASES: Final = f"{ROOM}/database/aliases"
PARTITIONS: Final = f"{ROOM}/partitions"
FIELDS: Final = f"{ROOM}/fields"
OLD_COLLECTIONS: Final = f"{ROOM}/collection"
OLD_ALIASES: Final = f"{ROOM}/aliases"
OLDEST_ALIASES: Final = f"{ROOM}/collection-alias"
ACCESS: Final = f"{ROOM}/credential"

VERSIONED: Final = (
    DATABASES,
    COLLECTIONS,
    ALIASES,
    PARTITIONS,
    FIELDS,
    OLD_COLLECTIONS,
    OLD_ALIASES,
    OLDEST_ALIASES,
)


def database_key(database_id: int) -> str:
    """`root-coord/database/db-info/<id>`."""
    return f"{DATABASES}/{database_id}"


def collection_key(database_id: int, collection_id: int) -> str:
    """A collection of before databases (id 0) stays under its old key, as in Go 2.2.16."""
    if database_id == NO_DATABASE_ID:
        return f"{OLD_COLLECTIONS}/{collection_id}"
    return f"{COLLECTIONS}/{database_id}/{collection_id}"


def partition_key(collection_id: int, partition_id: int) -> str:
    """`root-coord/partitions/<collection>/<id>`; the database is in no such key."""
    return f"{PARTITIONS}/{collection_id}/{partition_id}"


def field_key(collection_id: int, field_id: int) -> str:
    """`root-coord/fields/<collection>/<id>`."""
    return f"{FIELDS}/{collection_id}/{field_id}"


def alias_key(database_id: int, name: str, home: AliasHome = AliasHome.DATABASE) -> str:
    """`root-coord/database/aliases/<database>/<alias>`, or an old place."""
    if home is AliasHome.OLD:
        return f"{OLD_ALIASES}/{name}"
    if home is AliasHome.OLDEST:
        return f"{OLDEST_ALIASES}/{name}"
    return f"{ALIASES}/{database_id}/{name}"


def key_event(key: str) -> Deletion | None:
    """The event of the deletion of `key`; None for a key that is none of ours.

    Raises BadValue for a key of ours without the numbers that it should have.
    """
    try:
        return _key_event(key.split("/")[1:])
    except ValueError as error:
        raise BadValue(f"{key[:_SHOWN]} is no key that Milvus writes: {error}") from None


def _key_event(parts: list[str]) -> Deletion | None:
    match parts:
        case ["fields", collection, field]:
            return FieldDeleted(_id(collection), _id(field))
        case ["partitions", collection, partition]:
            return PartitionDeleted(_id(collection), _id(partition))
        case ["database", "collection-info", database, collection]:
            return CollectionDeleted(_id(database), _id(collection))
        case ["database", "aliases", database, *name]:
            return AliasDeleted(_id(database), "/".join(name))
        case ["database", "db-info", database]:
            return DatabaseDeleted(_id(database))
        case ["collection", collection]:
            return CollectionDeleted(NO_DATABASE_ID, _id(collection))
        case ["aliases", *name]:
            return AliasDeleted(DEFAULT_DATABASE_ID, "/".join(name), AliasHome.OLD)
        case ["collection-alias", *name]:
            return AliasDeleted(DEFAULT_DATABASE_ID, "/".join(name), AliasHome.OLDEST)
    return None


def _id(digits: str) -> int:
    """Raises ValueError for what `%d` makes of no id."""
    if not _ID.fullmatch(digits) or (number := int(digits)) > _ID_MAX:
        raise ValueError(f"{digits[:_SHOWN]!r} is no id")
    return number
