"""One collection with its fields and partitions, put together from records that come one by one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from milvus_coord.coordinators.rootcoord.metadata.events import (
    CollectionPut,
    FieldPut,
    PartitionPut,
)
from milvus_coord.model.collection import Collection, Partition, PartitionState
from milvus_coord.model.schema import FIRST_FIELD_ID, Field

T = TypeVar("T")

Parts: TypeAlias = tuple[
    Collection | None, tuple[CollectionPut, ...], tuple[Field, ...], tuple[Partition, ...]
]


class CollectionEntry:
    """What is known of one collection id; the records may come and go in any order.

    One record at most is there as a rule. There are two while a collection moves to another
    database, and then the one of the higher database id counts.
    """

    __slots__ = ("_fields", "_partitions", "_records", "_whole")

    def __init__(self) -> None:
        self._records: tuple[CollectionPut, ...] = ()
        self._fields: tuple[Field, ...] = ()
        self._partitions: tuple[Partition, ...] = ()
        self._whole: Collection | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing at all is known."""
        return not (self._records or self._fields or self._partitions)

    @property
    def record(self) -> Collection | None:
        """The collection as its record has it: cheaper than `whole`."""
        return self._records[-1].collection if self._records else None

    @property
    def whole(self) -> Collection | None:
        """The collection with its fields, those of users by id, then the system's."""
        if self._whole is None:
            self._whole = _put_together(self._records, self._fields)
        return self._whole

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """In any state, by id."""
        old = _old_layout(self._records)
        return old.partitions if old else self._partitions

    @property
    def dropping(self) -> tuple[Partition, ...]:
        """Partitions in that state, by id."""
        return tuple(p for p in self.partitions if p.state is PartitionState.DROPPING)

    @property
    def keeps_dropping(self) -> bool:
        """Whether a partition has a record that says so, even if an old layout hides it."""
        return any(p.state is PartitionState.DROPPING for p in self._partitions)

    @property
    def old_layout(self) -> CollectionPut | None:
        """The record, if it is of the kind that holds fields and partitions itself."""
        return _old_layout(self._records)

    @property
    def parts(self) -> Parts:
        """What it is made of, as it is now; see `records_of`."""
        return self._whole, self._records, self._fields, self._partitions

    def put_record(self, record: CollectionPut) -> None:
        self._whole = None
        self._records = _with(self._records, record, _database_id)

    def drop_record(self, database_id: int) -> None:
        self._whole = None
        self._records = _without(self._records, database_id, _database_id)

    def put_field(self, field: Field) -> None:
        self._whole = None
        self._fields = _with(self._fields, field, field_order)

    def drop_field(self, field_id: int) -> None:
        self._whole = None
        self._fields = _without(self._fields, _id_order(field_id), field_order)

    def put_partition(self, partition: Partition) -> None:
        self._partitions = _with(self._partitions, partition, _partition_id)

    def drop_partition(self, partition_id: int) -> None:
        self._partitions = _without(self._partitions, partition_id, _partition_id)


def _old_layout(records: tuple[CollectionPut, ...]) -> CollectionPut | None:
    return records[-1] if records and records[-1].collection.fields else None


def _put_together(
    records: tuple[CollectionPut, ...], fields: tuple[Field, ...]
) -> Collection | None:
    if not records:
        return None
    record = records[-1].collection
    return record if _old_layout(records) else replace(record, fields=fields)


def records_of(collection_id: int, parts: Parts) -> Iterator[object]:
    """The events that make an entry, and what is wrong with its order or with `whole`.

    That costs too much to be a part of `MetaState.check`: here it is looked at one by one.
    """
    whole, records, fields, partitions = parts
    yield from records
    for field in fields:
        yield FieldPut(collection_id, field)
    yield from map(PartitionPut, partitions)
    if whole is not None and whole != _put_together(records, fields):
        yield "stale", whole
    for kind, found in (
        ("records", [_database_id(record) for record in records]),
        ("fields", [field_order(field) for field in fields]),
        ("partitions", [_partition_id(partition) for partition in partitions]),
    ):
        if found != sorted(found):
            yield "in disorder", kind, tuple(found)


def _with(items: tuple[T, ...], item: T, order: Callable[[T], Any]) -> tuple[T, ...]:
    """The sorted `items` and this one, in the place of one of the same order."""
    key = order(item)
    at = bisect_left(items, key, key=order)
    rest = at + 1 if at < len(items) and order(items[at]) == key else at
    return (*items[:at], item, *items[rest:])


def _without(items: tuple[T, ...], key: object, order: Callable[[T], Any]) -> tuple[T, ...]:
    return tuple(item for item in items if order(item) != key)


def _database_id(record: CollectionPut) -> int:
    return record.collection.db_id


def _partition_id(partition: Partition) -> int:
    return partition.id


def field_order(field: Field) -> tuple[bool, int]:
    """Users' fields by id, then RowID and Timestamp: the order after a creation by Go 2.2.16."""
    return _id_order(field.id)


def _id_order(field_id: int) -> tuple[bool, int]:
    return field_id < FIRST_FIELD_ID, field_id
