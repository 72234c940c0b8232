"""RootCoord's metadata as keys and values of etcd: reads events from them, builds transactions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from milvus_coord.coordinators.rootcoord.access.catalog import AccessCatalog
from milvus_coord.coordinators.rootcoord.metadata import catalog_keys as keys
from milvus_coord.coordinators.rootcoord.metadata import catalog_values as values
from milvus_coord.coordinators.rootcoord.metadata.catalog_snapshots import (
    TOMBSTONE,
    SnapshotKeys,
)
from milvus_coord.coordinators.rootcoord.metadata.events import AliasPut, Damaged
from milvus_coord.coordinators.rootcoord.metadata.state_names import effective_database
from milvus_coord.etcd.txn import Op
from milvus_coord.model.collection import Collection, CollectionState, Partition
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.errors import BadValue
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.role.metadata.transactions import Transactions, in_transactions

_AT_ONCE: Final = 60
"""So many keys are created in one transaction, of the 64 that fit: some are left for others."""


class Catalog:
    """The keys below `meta_root` (`etcd.rootPath/etcd.metaSubPath`).

    Builders return the transactions to be committed in this order, `ts` being the timestamp of the
    statement; it must grow from write to write of the same object, or stay the same.
    """

    def __init__(self, meta_root: str) -> None:
        self.snapshots = SnapshotKeys(meta_root)
        self.prefix = f"{meta_root}/{keys.ROOM}/".encode()
        self._skip = len(meta_root) + 1
        self._access = AccessCatalog(meta_root)
        self._access_prefix = f"{meta_root}/{keys.ACCESS}/".encode()

    def event(self, key: bytes, value: bytes | None) -> object | None:
        """What it means that a key below `prefix` has this value, or with None that it is gone.

        A value that cannot be read is a Damaged. None for a key of no interest. Raises nothing.
        """
        if key.startswith(self._access_prefix):
            return self._access_event(key, value)
        try:
            deletion = keys.key_event(self.relative(key))
        except BadValue as error:
            return None if value is None else Damaged(key, str(error), None)
        if deletion is None or value is None or value == TOMBSTONE:
            return deletion
        try:
            return values.decode(deletion, value)
        except BadValue as error:
            return Damaged(key, str(error), deletion)

    def relative(self, key: bytes) -> str:
        """`key` without the meta root. Raises BadValue."""
        try:
            return key[self._skip :].decode()
        except UnicodeDecodeError as error:
            raise BadValue(f"{key!r} is no key that Milvus writes: {error}") from None

    def _access_event(self, key: bytes, value: bytes | None) -> object | None:
        try:
            return self._access.event(key, value)
        except BadValue as error:
            return None if value is None else Damaged(key, str(error), self._access_gone(key))

    def _access_gone(self, key: bytes) -> object | None:
        try:
            return self._access.event(key, None)
        except BadValue:
            return None

    def put_database(self, database: Database, ts: Timestamp) -> Transactions:
        value = values.encode_database(database)
        return [self.snapshots.put(keys.database_key(database.id), value, ts)]

    def drop_database(self, db_id: int, ts: Timestamp) -> Transactions:
        return [self.snapshots.drop(keys.database_key(db_id), ts)]

    def create_collection(
        self, collection: Collection, partitions: Iterable[Partition], ts: Timestamp
    ) -> Transactions:
        """A collection that is CREATING, with partitions and fields; mostly one transaction.

        Of several the first is the collection's own: what follows it can be found and undone.
        """
        if collection.state is not CollectionState.CREATING:
            raise ValueError(f"a new collection is CREATING, not {collection.state.name}")
        writes = [self._collection(collection, ts)]
        writes += (self._partition(partition, ts) for partition in partitions)
        writes += self._fields(collection, ts)
        if len(writes) <= _AT_ONCE and len(whole := in_transactions(writes)) == 1:
            return whole
        return [writes[0], *in_transactions(writes[1:])]

    def put_collection(self, collection: Collection, ts: Timestamp) -> Transactions:
        """The record alone: another state, other properties, or another name in its database."""
        return [self._collection(collection, ts)]

    def move_collection(self, old: Collection, new: Collection, ts: Timestamp) -> Transactions:
        """To another database, maybe under another name."""
        if old.id != new.id or old.db_id == new.db_id:
            raise ValueError(f"collection {old.id} of database {old.db_id} does not move so")
        drop = self.snapshots.drop(keys.collection_key(old.db_id, old.id), ts)
        return in_transactions([self._collection(new, ts), drop])

    def drop_collection(
        self,
        collection: Collection,
        partitions: Iterable[Partition],
        aliases: Iterable[str],
        ts: Timestamp,
    ) -> Transactions:
        """Tombstones for all of it. The collection's own comes last: till then it is DROPPING."""
        db_id = effective_database(collection.db_id)
        names = [keys.alias_key(db_id, alias) for alias in aliases]
        names += (keys.partition_key(collection.id, partition.id) for partition in partitions)
        names += (keys.field_key(collection.id, field.id) for field in collection.fields)
        last = keys.collection_key(collection.db_id, collection.id)
        children = in_transactions(self.snapshots.drop(name, ts) for name in names)
        return [*children, self.snapshots.drop(last, ts)]

    def put_partition(self, partition: Partition, ts: Timestamp) -> Transactions:
        return [self._partition(partition, ts)]

    def drop_partition(self, partition: Partition, ts: Timestamp) -> Transactions:
        key = keys.partition_key(partition.collection_id, partition.id)
        return [self.snapshots.drop(key, ts)]

    def put_alias(self, alias: Alias, ts: Timestamp) -> Transactions:
        return [self._alias(alias, ts)]

    def drop_alias(self, db_id: int, name: str, ts: Timestamp) -> Transactions:
        """That alias and no other: Go 2.2.16 drops all whose names begin so."""
        return [self.snapshots.drop(keys.alias_key(effective_database(db_id), name), ts)]

    def unfold_collection(
        self, collection: Collection, partitions: Iterable[Partition], ts: Timestamp
    ) -> Transactions:
        """From the old layout, in which the record holds everything, to a key for each part.

        The record comes last: it makes Go look at the others.
        """
        writes = [self._partition(partition, ts) for partition in partitions]
        writes += self._fields(collection, ts)
        return in_transactions([*writes, self._collection(collection, ts)])

    def move_alias(self, records: Sequence[AliasPut], ts: Timestamp) -> Transactions:
        """All records of one alias, the last of which counts, to one record in today's place."""
        alias = records[-1].alias
        today = keys.alias_key(alias.db_id, alias.name)
        names = {keys.alias_key(alias.db_id, alias.name, record.home) for record in records}
        drops = [self.snapshots.drop(name, ts) for name in sorted(names - {today})]
        return in_transactions([self._alias(alias, ts), *drops])

    def _collection(self, collection: Collection, ts: Timestamp) -> tuple[Op, Op]:
        key = keys.collection_key(collection.db_id, collection.id)
        return self.snapshots.put(key, values.encode_collection(collection), ts)

    def _partition(self, partition: Partition, ts: Timestamp) -> tuple[Op, Op]:
        key = keys.partition_key(partition.collection_id, partition.id)
        return self.snapshots.put(key, values.encode_partition(partition), ts)

    def _fields(self, collection: Collection, ts: Timestamp) -> Iterable[tuple[Op, Op]]:
        for field in collection.fields:
            key = keys.field_key(collection.id, field.id)
            yield self.snapshots.put(key, values.encode_field(field), ts)

    def _alias(self, alias: Alias, ts: Timestamp) -> tuple[Op, Op]:
        alias = replace(alias, db_id=effective_database(alias.db_id))
        key = keys.alias_key(alias.db_id, alias.name)
        return self.snapshots.put(key, values.encode_alias(alias), ts)
