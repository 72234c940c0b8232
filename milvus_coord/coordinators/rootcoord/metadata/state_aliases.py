"""All aliases: which collection a name means, and by which names a collection goes."""

from __future__ import annotations

from collections.abc import Iterator

from milvus_coord.coordinators.rootcoord.metadata.events import AliasDeleted, AliasHome, AliasPut
from milvus_coord.model.database import Alias


class Aliases:
    """The records of every home, and what they come to."""

    def __init__(self) -> None:
        self._records: dict[int, dict[str, tuple[AliasPut, ...]]] = {}
        self._names: dict[int, tuple[tuple[int, str], ...]] = {}

    def get(self, database_id: int, name: str) -> Alias | None:
        """The alias of that name, whether or not its collection is there."""
        records = self._records.get(database_id, {}).get(name)
        return records[-1].alias if records else None

    def of(self, collection_id: int) -> tuple[str, ...]:
        """The aliases of a collection, in the order of database and name."""
        return tuple(name for _, name in self._names.get(collection_id, ()))

    def on_is(self, event: AliasPut) -> None:
        alias = event.alias
        self._change(alias.db_id, alias.name, event.home, event)

    def on_gone(self, event: AliasDeleted) -> None:
        self._change(event.database_id, event.name, event.home, None)

    def old(self) -> Iterator[tuple[AliasPut, ...]]:
        """Aliases with a record in an old home: each with all records, the one that counts last."""
        for names in self._records.values():
            for records in names.values():
                if any(record.home is not AliasHome.DATABASE for record in records):
                    yield records

    def records(self) -> list[AliasPut]:
        """The records of every home."""
        return [
            record
            for names in self._records.values()
            for records in names.values()
            for record in records
        ]

    def check(self) -> list[str]:
        """What contradicts itself; empty."""
        wrong: list[str] = []
        counting: dict[int, list[tuple[int, str]]] = {}
        for database_id, names in self._records.items():
            for name, records in names.items():
                if not records:
                    wrong.append(f"alias {name} is kept though nothing is known of it")
                    continue
                places = counting.setdefault(records[-1].alias.collection_id, [])
                places.append((database_id, name))
                if list(records) != sorted(records, key=lambda record: record.home):
                    wrong.append(f"of alias {name} the records are in disorder: {records}")
        return wrong + [
            f"aliases of collection {id_} are {sorted(counting.get(id_, ()))}, by index "
            f"{self._names.get(id_)}"
            for id_ in counting.keys() | self._names.keys()
            if tuple(sorted(counting.get(id_, ()))) != self._names.get(id_)
        ]

    def __len__(self) -> int:
        return sum(len(names) for names in self._records.values())

    def _change(
        self, database_id: int, name: str, home: AliasHome, record: AliasPut | None
    ) -> None:
        names = self._records.setdefault(database_id, {})
        before = names.get(name, ())
        after = [other for other in before if other.home is not home]
        if record is not None:
            after.append(record)
        self._unindex(before, (database_id, name))
        if after:
            names[name] = tuple(sorted(after, key=lambda one: one.home))
            self._index(names[name][-1].alias.collection_id, (database_id, name))
        else:
            names.pop(name, None)
            if not names:
                del self._records[database_id]

    def _index(self, collection_id: int, place: tuple[int, str]) -> None:
        self._names[collection_id] = tuple(sorted((*self._names.get(collection_id, ()), place)))

    def _unindex(self, records: tuple[AliasPut, ...], place: tuple[int, str]) -> None:
        if not records:
            return
        collection_id = records[-1].alias.collection_id
        left = tuple(other for other in self._names[collection_id] if other != place)
        if left:
            self._names[collection_id] = left
        else:
            del self._names[collection_id]
