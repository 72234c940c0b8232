"""Collections as they were at a timestamp, read from the snapshots in etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from milvus_coord.coordinators.rootcoord.metadata import catalog_keys as keys
from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import Version, at
from milvus_coord.coordinators.rootcoord.metadata.events import (
    CollectionPut,
    Damaged,
    FieldPut,
    PartitionPut,
)
from milvus_coord.coordinators.rootcoord.metadata.state_collection import field_order
from milvus_coord.coordinators.rootcoord.metadata.store import Store
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.model.collection import Collection, Partition
from milvus_coord.model.database import DEFAULT_DATABASE_ID, NO_DATABASE_ID, Database
from milvus_coord.model.errors import BadValue, CollectionNotFound
from milvus_coord.model.schema import Field
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.telemetry.log import log

MAX_TIMESTAMP: Final = Timestamp((1 << 64) - 1)

_SLICE: Final = 200


def is_now(ts: Timestamp) -> bool:
    """Whether a request asks for the latest: 0 and the greatest timestamp mean that."""
    return ts in (0, MAX_TIMESTAMP)


@dataclass(frozen=True, slots=True)
class CollectionAt:
    """A collection and its Created partitions, those of all states where that was asked for."""

    collection: Collection
    partitions: tuple[Partition, ...]


class TimeTravel:
    """Lookups at a timestamp; `is_now` ones are answered from the state, without etcd.

    As in Go 2.2.16 a finite timestamp that is not before the creation of a collection which is
    there shows it as it is now, with today's partitions; etcd is read for the others. All methods
    raise CollectionNotFound or DatabaseNotFound, BadValue for a damaged record, and etcd's errors.
    """

    def __init__(self, etcd: Etcd, store: Store) -> None:
        self._etcd, self._store = etcd, store
        self._snapshots = store.catalog.snapshots

    async def collection_named(self, db_name: str, name: str, ts: Timestamp) -> CollectionAt:
        """By alias or name. Aliases are those of today."""
        state = self._store.state
        if is_now(ts):
            return self._as_it_is(state.resolve(db_name, name))
        database = state.require_database(db_name)
        alias = state.alias(database.id, name)
        if alias is not None:
            return await self._by_id(database, alias.collection_id, ts)
        today = state.by_name(database.id, name)
        if today is not None and today.created_at <= ts:
            return self._as_it_is(today)
        records = [each.collection for each in await self._records(database, ts)]
        for record in sorted(records, key=lambda each: not each.available):
            if record.name == name:
                return await self._by_id(database, record.id, ts)
        raise CollectionNotFound(f"can't find collection {database.id}:{name}, at timestamp = {ts}")

    async def collection_by_id(
        self, db_name: str, collection_id: int, ts: Timestamp, *, any_state: bool = False
    ) -> CollectionAt:
        """By id; with `any_state` also what users do not see, partitions included."""
        state = self._store.state
        if not is_now(ts):
            database = state.require_database(db_name)
            return await self._by_id(database, collection_id, ts, any_state=any_state)
        if not any_state:
            return self._as_it_is(state.by_id(collection_id))
        collection = state.collection(collection_id)
        if collection is None:
            raise CollectionNotFound(f"can't find collection: {collection_id}")
        return self._as_it_is(collection, any_state=True)

    async def collections_at(self, db_name: str, ts: Timestamp) -> tuple[Collection, ...]:
        """All that users could see, by id; at a finite timestamp without their fields."""
        state = self._store.state
        database = state.require_database(db_name)
        if is_now(ts):
            return tuple(sorted(state.collections(database.id), key=lambda each: each.id))
        records = [each.collection for each in await self._records(database, ts)]
        return tuple(replace(each, fields=()) for each in records if each.available)

    def _as_it_is(self, collection: Collection, *, any_state: bool = False) -> CollectionAt:
        partitions = self._store.state.partitions(collection.id)
        return CollectionAt(collection, _seen(partitions, any_state=any_state))

    async def _by_id(
        self, database: Database, collection_id: int, ts: Timestamp, *, any_state: bool = False
    ) -> CollectionAt:
        today = self._store.state.collection(collection_id)
        if today is not None and today.available and today.created_at <= ts:
            return self._as_it_is(today, any_state=any_state)
        record = await self._record(database, collection_id, ts)
        collection, partitions = record.collection, record.partitions
        if not any_state and not collection.available:
            raise CollectionNotFound(f"can't find collection {database.name}:{collection.name}")
        if not collection.fields:
            collection = replace(collection, fields=await self._fields(collection_id, ts))
            partitions = await self._partitions(collection_id, ts)
        return CollectionAt(collection, _seen(partitions, any_state=any_state))

    async def _record(self, database: Database, collection_id: int, ts: Timestamp) -> CollectionPut:
        for db_id in _ids(database):
            key = keys.collection_key(db_id, collection_id).encode()
            event = self._read(key, await self._value(key, ts))
            if isinstance(event, CollectionPut):
                return event
        raise CollectionNotFound(f"collection not found: {collection_id}, error: no value found")

    async def _value(self, key: bytes, ts: Timestamp) -> bytes | None:
        """The value of one key at `ts`; of one that never had a version, its only value."""
        found = await self._etcd.range(self._snapshots.versions(key))
        parsed = (self._snapshots.parse(kv) for kv in found.kvs)
        versions = [each for each in parsed if each and each.key == key]
        if versions:
            version = at(versions, ts)
            return version.kv.value if version else None
        plain = (await self._etcd.get(self._snapshots.plain(key))).kv
        return plain.value if plain else None

    async def _records(self, database: Database, ts: Timestamp) -> list[CollectionPut]:
        """Every record of a database that can be read, as it was at `ts`, in any state; by id."""
        found = []
        for db_id in _ids(database):
            prefix = f"{keys.COLLECTIONS}/{db_id}" if db_id else keys.OLD_COLLECTIONS
            found += [each async for each in self._below(prefix, ts)]
        for damaged in found:
            if isinstance(damaged, Damaged):
                log.error("a record in etcd is damaged, it is not listed", error=_words(damaged))
        records = [each for each in found if isinstance(each, CollectionPut)]
        return sorted(records, key=lambda each: each.collection.id)

    async def _fields(self, collection_id: int, ts: Timestamp) -> tuple[Field, ...]:
        events = [_sound(e) async for e in self._below(f"{keys.FIELDS}/{collection_id}", ts)]
        fields = [event.field for event in events if isinstance(event, FieldPut)]
        return tuple(sorted(fields, key=field_order))

    async def _partitions(self, collection_id: int, ts: Timestamp) -> tuple[Partition, ...]:
        events = [_sound(e) async for e in self._below(f"{keys.PARTITIONS}/{collection_id}", ts)]
        partitions = [event.partition for event in events if isinstance(event, PartitionPut)]
        return tuple(sorted(partitions, key=lambda partition: partition.id))

    async def _below(self, prefix: str, ts: Timestamp) -> AsyncIterator[object]:
        """What every key below a prefix said at `ts`, as events."""
        found = await self._etcd.range(self._snapshots.below(f"{prefix}/".encode()))
        versions: dict[bytes, list[Version]] = {}
        for index, kv in enumerate(found.kvs):
            if version := self._snapshots.parse(kv):
                versions.setdefault(version.key, []).append(version)
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        for index, (key, known) in enumerate(versions.items()):
            if version := at(known, ts):
                yield self._store.catalog.event(self._snapshots.plain(key), version.kv.value)
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)

    def _read(self, key: bytes, value: bytes | None) -> object:
        """Raises BadValue."""
        event = self._store.catalog.event(self._snapshots.plain(key), value)
        return _sound(event)


def _ids(database: Database) -> tuple[int, ...]:
    """The ids under which collections of the database are kept: old ones of `default` have none."""
    if database.id == DEFAULT_DATABASE_ID:
        return database.id, NO_DATABASE_ID
    return (database.id,)


def _seen(partitions: tuple[Partition, ...], *, any_state: bool) -> tuple[Partition, ...]:
    return tuple(each for each in partitions if any_state or each.available)


def _sound(event: object) -> object:
    if isinstance(event, Damaged):
        raise BadValue(_words(event))
    return event


def _words(damaged: Damaged) -> str:
    return f"{damaged.key.decode(errors='backslashreplace')}: {damaged.reason}"
