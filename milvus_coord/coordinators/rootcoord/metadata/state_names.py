"""Which collections carry which name, how many there are, and which channels they use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from milvus_coord.model.collection import Collection
from milvus_coord.model.database import DEFAULT_DATABASE_ID, NO_DATABASE_ID


def effective_database(database_id: int) -> int:
    """The database that a stored id means: collections of before databases are in `default`."""
    return DEFAULT_DATABASE_ID if database_id == NO_DATABASE_ID else database_id


class NameIndex:
    """Indexes over the records of collections, kept up by `change`."""

    def __init__(self) -> None:
        self._ids: dict[int, dict[str, tuple[int, ...]]] = {}
        self._created: Counter[int] = Counter()
        self._unfinished: set[int] = set()
        self._channels: Counter[str] = Counter()

    def change(self, before: Collection | None, after: Collection | None) -> None:
        """A record was replaced, came or went."""
        if before is not None:
            self._remove(before)
        if after is not None:
            self._add(after)

    def ids(self, database_id: int, name: str) -> tuple[int, ...]:
        """Collections of that name in any state, the newest first."""
        return self._ids.get(database_id, {}).get(name, ())

    def of(self, database_id: int) -> Iterator[int]:
        """Collections of a database in any state and no order."""
        for ids in self._ids.get(database_id, {}).values():
            yield from ids

    def created(self, database_id: int) -> int:
        """How many Created collections a database has."""
        return self._created[database_id]

    def unfinished(self) -> list[int]:
        """Collections in any state but Created, in no order."""
        return list(self._unfinished)

    def channels(self) -> Counter[str]:
        """Physical channel -> how many collections, in any state, use it."""
        return +self._channels

    def contents(self) -> tuple[object, ...]:
        """Everything that is indexed, to be compared."""
        return self._ids, +self._created, self._unfinished, self.channels()

    def _add(self, collection: Collection) -> None:
        self._channels.update(set(collection.physical_channels))
        names = self._ids.setdefault(effective_database(collection.db_id), {})
        ids = (*names.get(collection.name, ()), collection.id)
        names[collection.name] = tuple(sorted(ids, reverse=True))
        if collection.available:
            self._created[effective_database(collection.db_id)] += 1
        else:
            self._unfinished.add(collection.id)

    def _remove(self, collection: Collection) -> None:
        self._channels.subtract(set(collection.physical_channels))
        home = effective_database(collection.db_id)
        names = self._ids[home]
        left = tuple(other for other in names[collection.name] if other != collection.id)
        if left:
            names[collection.name] = left
        else:
            del names[collection.name]
            if not names:
                del self._ids[home]
        if collection.available:
            self._created[home] -= 1
        else:
            self._unfinished.discard(collection.id)
