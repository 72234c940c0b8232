"""RootCoord's metadata in memory: events in, answers out.

What the record of a collection or a partition says, from its first write to its tombstone:

    collection  (none) --> CREATING --> CREATED --> DROPPING --> (gone)
                               |                                   ^
                               +------- undone --------------------+
    partition   (none) ---------------> CREATED --> DROPPING --> (gone)

Users see what is CREATED. The state follows etcd and takes whatever comes, in any order. It depends
on nothing but the keys that are there: to read them anew comes to the same as to follow them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, starmap
from typing import Any, Final

from milvus_coord.coordinators.rootcoord.access.state import AccessState
from milvus_coord.coordinators.rootcoord.metadata import events
from milvus_coord.coordinators.rootcoord.metadata.state_aliases import Aliases
from milvus_coord.coordinators.rootcoord.metadata.state_collection import (
    CollectionEntry,
    records_of,
)
from milvus_coord.coordinators.rootcoord.metadata.state_names import NameIndex, effective_database
from milvus_coord.model.collection import Collection, Partition, PartitionState
from milvus_coord.model.database import DEFAULT_DATABASE, Alias, Database, DatabaseNotFound
from milvus_coord.model.errors import CollectionNotFound


class MetaState:
    """Databases, collections, partitions, aliases, and who may do what with them.

    A damaged record makes its collection one that nobody sees; nor is it finished, so that nothing
    of it is deleted. Its name stays taken, and its channels stay in use. All answers take the
    database id 0, of before databases, for that of `default`.
    """

    def __init__(self, access: AccessState) -> None:
        self.access = access
        self._databases: dict[int, Database] = {}
        self._database_names: dict[str, Database] = {}
        self._entries: dict[int, CollectionEntry] = {}
        self._names = NameIndex()
        self._aliases = Aliases()
        self._dropping: set[int] = set()
        self._damaged: dict[bytes, events.Damaged] = {}
        self._damaged_collections: frozenset[int] = frozenset()

    def on(self, event: Any) -> None:
        """One key was written or is gone."""
        move = _MOVES.get(type(event))
        if move is None:
            self.access.on(event)
        else:
            move(self, event)

    def records(self) -> Iterator[object]:
        """The events that make this state, and stale answers; as at this call and in any order."""
        entries = [(id_, entry.parts) for id_, entry in self._entries.items()]
        others: list[object] = [*self._aliases.records(), *self._damaged.values()]
        others += map(events.DatabasePut, self._databases.values())
        return chain(
            others, self.access.records(), chain.from_iterable(starmap(records_of, entries))
        )

    def database(self, name: str) -> Database | None:
        """By name; "" is the default database."""
        return self._database_names.get(name or DEFAULT_DATABASE)

    def database_of(self, db_id: int) -> Database | None:
        return self._databases.get(effective_database(db_id))

    def databases(self) -> Iterator[Database]:
        """By id."""
        return iter(self._database_names.values())

    def require_database(self, name: str) -> Database:
        """Raises DatabaseNotFound."""
        database = self.database(name)
        if database is None:
            raise DatabaseNotFound(name or DEFAULT_DATABASE)
        return database

    def collection(self, collection_id: int) -> Collection | None:
        """In any state; the fields of users by id, then RowID and Timestamp.

        The same object until it changes. None for a damaged one.
        """
        if collection_id in self._damaged_collections:
            return None
        entry = self._entries.get(collection_id)
        return entry.whole if entry else None

    def by_name(self, db_id: int, name: str) -> Collection | None:
        """The Created collection of that very name, no alias."""
        for collection_id in self._names.ids(effective_database(db_id), name):
            collection = self.collection(collection_id)
            if collection is not None and collection.available:
                return collection
        return None

    def alias(self, db_id: int, name: str) -> Alias | None:
        """Also of a collection that is gone."""
        return self._aliases.get(effective_database(db_id), name)

    def resolve(self, db_name: str, name: str) -> Collection:
        """What a user means by a name: an alias goes before a collection.

        Raises CollectionNotFound; of an alias whose collection users do not see, too.
        """
        database = self.database(db_name)
        if database is not None:
            alias = self._aliases.get(database.id, name)
            if alias is not None:
                return self.by_id(alias.collection_id)
            collection = self.by_name(database.id, name)
            if collection is not None:
                return collection
        raise CollectionNotFound(f"can't find collection {db_name or DEFAULT_DATABASE}:{name}")

    def by_id(self, collection_id: int) -> Collection:
        """A Created collection of a database that is there. Raises CollectionNotFound."""
        collection = self.collection(collection_id)
        if collection is not None and collection.available and self.database_of(collection.db_id):
            return collection
        raise CollectionNotFound(f"can't find collection: {collection_id}")

    def aliases_of(self, collection_id: int) -> tuple[str, ...]:
        return self._aliases.of(collection_id)

    def partitions(self, collection_id: int) -> tuple[Partition, ...]:
        """In any state, by id; the same object until one changes."""
        entry = self._entries.get(collection_id)
        return entry.partitions if entry else ()

    def partition(self, collection_id: int, name: str) -> Partition | None:
        """A Created one, by name."""
        for partition in self.partitions(collection_id):
            if partition.name == name and partition.available:
                return partition
        return None

    def collections(self, db_id: int) -> Iterator[Collection]:
        """All Created ones of a database, in no order."""
        for collection_id in self._names.of(effective_database(db_id)):
            collection = self.collection(collection_id)
            if collection is not None and collection.available:
                yield collection

    def unfinished(self) -> Iterator[Collection]:
        """What is being created or dropped, also of databases that are gone; by id."""
        for collection_id in sorted(self._names.unfinished()):
            collection = self.collection(collection_id)
            if collection is not None:
                yield collection

    def unfinished_ids(self) -> tuple[list[int], list[int]]:
        """Collections in any state but Created; those with partitions that are being dropped."""
        return self._names.unfinished(), list(self._dropping)

    def dropping_partitions(self, collection_id: int | None = None) -> Iterator[Partition]:
        """Partitions that are being dropped, of one or all Created collections; by id."""
        ids = sorted(self._dropping) if collection_id is None else (collection_id,)
        for each in ids:
            collection = self.collection(each)
            if collection is not None and collection.available:
                yield from self._entries[each].dropping

    def channels_in_use(self) -> Counter[str]:
        """Physical channel -> how many collections, in any state, use it."""
        return self._names.channels()

    def count(self, db_id: int | None = None) -> int:
        """Created collections, damaged ones included, of one database or of all."""
        if db_id is not None:
            return self._names.created(effective_database(db_id))
        return sum(self._names.created(database_id) for database_id in self._databases)

    def partition_count(self) -> int:
        """Partitions in any state."""
        return sum(len(entry.partitions) for entry in self._entries.values())

    def old_layouts(self) -> Iterator[tuple[Collection, tuple[Partition, ...]]]:
        """Collections whose record holds fields and partitions itself, as before Milvus 2.1."""
        old = sorted(id_ for id_, entry in self._entries.items() if entry.old_layout)
        for collection_id in old:
            if collection := self.collection(collection_id):
                yield collection, self._entries[collection_id].partitions

    def old_aliases(self) -> Iterator[tuple[events.AliasPut, ...]]:
        """Aliases with a record in an old home: each with all records, the one that counts last."""
        return self._aliases.old()

    @property
    def damaged(self) -> tuple[events.Damaged, ...]:
        """Records that say nothing, by key."""
        return tuple(self._damaged[key] for key in sorted(self._damaged))

    def is_damaged(self, key: bytes) -> bool:
        """Whether the key's last event was a Damaged."""
        return key in self._damaged

    def check(self) -> list[str]:
        """What contradicts itself, in words; empty unless there is a bug."""
        wrong = self._aliases.check()
        names = NameIndex()
        for collection_id, entry in self._entries.items():
            names.change(None, entry.record)
            if entry.empty:
                wrong.append(f"collection {collection_id} is kept though nothing is known of it")
            if entry.keeps_dropping != (collection_id in self._dropping):
                wrong.append(f"collection {collection_id} has a dropping partition: wrongly noted")
        if names.contents() != self._names.contents():
            wrong.append(f"names are {self._names.contents()}, by record {names.contents()}")
        if not self._dropping <= self._entries.keys():
            wrong.append(f"of {self._dropping} with dropping partitions some are unknown")
        if self._database_names != self._by_name():
            wrong.append(f"databases are {self._databases}, by name {self._database_names}")
        if self._damaged_collections != (of := self._of_damaged()):
            wrong.append(f"collections {self._damaged_collections} are damaged, by record {of}")
        return [*wrong, *self.access.check()]

    def _database_is(self, event: events.DatabasePut) -> None:
        self._databases[event.database.id] = event.database
        self._index_databases()

    def _database_gone(self, event: events.DatabaseDeleted) -> None:
        self._databases.pop(event.database_id, None)
        self._index_databases()

    def _index_databases(self) -> None:
        self._database_names = self._by_name()

    def _by_name(self) -> dict[str, Database]:
        # Of two of one name, which there should not be, the younger counts, as in Go 2.2.16.
        return {database.name: database for _, database in sorted(self._databases.items())}

    def _collection_is(self, event: events.CollectionPut) -> None:
        entry = self._entry(event.collection.id)
        before = entry.record
        entry.put_record(event)
        self._names.change(before, entry.record)

    def _collection_gone(self, event: events.CollectionDeleted) -> None:
        if entry := self._entries.get(event.collection_id):
            before = entry.record
            entry.drop_record(event.database_id)
            self._names.change(before, entry.record)
            self._forget_if_empty(event.collection_id, entry)

    def _partition_is(self, event: events.PartitionPut) -> None:
        partition = event.partition
        entry = self._entry(partition.collection_id)
        entry.put_partition(partition)
        if partition.state is PartitionState.DROPPING:
            self._dropping.add(partition.collection_id)
        else:
            self._forget_dropping(partition.collection_id, entry)

    def _partition_gone(self, event: events.PartitionDeleted) -> None:
        if entry := self._entries.get(event.collection_id):
            entry.drop_partition(event.partition_id)
            self._forget_dropping(event.collection_id, entry)
            self._forget_if_empty(event.collection_id, entry)

    def _forget_dropping(self, collection_id: int, entry: CollectionEntry) -> None:
        if collection_id in self._dropping and not entry.keeps_dropping:
            self._dropping.discard(collection_id)

    def _field_is(self, event: events.FieldPut) -> None:
        self._entry(event.collection_id).put_field(event.field)

    def _field_gone(self, event: events.FieldDeleted) -> None:
        if entry := self._entries.get(event.collection_id):
            entry.drop_field(event.field_id)
            self._forget_if_empty(event.collection_id, entry)

    def _is_damaged(self, event: events.Damaged) -> None:
        if event.gone is not None:
            self.on(event.gone)
        self._damaged[event.key] = event
        self._index_damaged()

    def _is_mended(self, event: events.Mended) -> None:
        if self._damaged.pop(event.key, None) is not None:
            self._index_damaged()

    def _index_damaged(self) -> None:
        self._damaged_collections = self._of_damaged()

    def _of_damaged(self) -> frozenset[int]:
        return frozenset(
            each.gone.collection_id
            for each in self._damaged.values()
            if isinstance(each.gone, (events.FieldDeleted, events.PartitionDeleted))
        )

    def _entry(self, collection_id: int) -> CollectionEntry:
        entry = self._entries.get(collection_id)
        if entry is None:
            entry = self._entries[collection_id] = CollectionEntry()
        return entry

    def _forget_if_empty(self, collection_id: int, entry: CollectionEntry) -> None:
        if entry.empty:
            del self._entries[collection_id]
            self._dropping.discard(collection_id)


_MOVES: Final[dict[type, Callable[[MetaState, Any], None]]] = {
    events.DatabasePut: MetaState._database_is,
    events.DatabaseDeleted: MetaState._database_gone,
    events.CollectionPut: MetaState._collection_is,
    events.CollectionDeleted: MetaState._collection_gone,
    events.PartitionPut: MetaState._partition_is,
    events.PartitionDeleted: MetaState._partition_gone,
    events.FieldPut: MetaState._field_is,
    events.FieldDeleted: MetaState._field_gone,
    events.AliasPut: lambda state, event: state._aliases.on_is(event),
    events.AliasDeleted: lambda state, event: state._aliases.on_gone(event),
    events.Damaged: MetaState._is_damaged,
    events.Mended: MetaState._is_mended,
}
