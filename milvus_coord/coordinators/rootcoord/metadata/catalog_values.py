"""The values of etcd, byte for byte those of Go 2.2.16: what is unset or zero is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from sys import intern
from typing import Any, Final

from google.protobuf.message import DecodeError

from milvus_coord.coordinators.rootcoord.metadata import events
from milvus_coord.model.collection import (
    Collection,
    CollectionState,
    Partition,
    PartitionState,
    StartPosition,
)
from milvus_coord.model.database import Alias, Database
from milvus_coord.model.errors import BadValue
from milvus_coord.model.schema import Field
from milvus_coord.model.timestamps import Timestamp
from milvus_coord.wire.descriptors import message_class
from milvus_coord.wire.schema import field_of, fill_field, fill_pairs, pairs_of

_DATABASE_CREATED: Final = 1
_KNOWN_FIELDS: Final = 4096

_COLLECTION: Final = "milvus.proto.etcd.CollectionInfo"
_PARTITION: Final = "milvus.proto.etcd.PartitionInfo"
_DATABASE: Final = "milvus.proto.etcd.DatabaseInfo"
_ALIAS: Final = "milvus.proto.etcd.AliasInfo"
_FIELD: Final = "milvus.proto.schema.FieldSchema"


def encode_database(database: Database) -> bytes:
    """`milvus.proto.etcd.DatabaseInfo`; of databases, Created is 1 and not 0."""
    return _encoded(
        _new(_DATABASE)(
            name=database.name,
            id=database.id,
            state=_DATABASE_CREATED,
            created_time=database.created_ns,
        )
    )


def encode_collection(collection: Collection) -> bytes:
    """`milvus.proto.etcd.CollectionInfo` without fields and partitions, which have their own keys.

    Go takes a record that has both for one of the old layout.
    """
    message = _new(_COLLECTION)(
        ID=collection.id,
        create_time=collection.created_at,
        virtual_channel_names=collection.virtual_channels,
        physical_channel_names=collection.physical_channels,
        shards_num=collection.shards,
        consistency_level=collection.consistency_level,
        state=collection.state,
        db_id=collection.db_id,
    )
    schema = message.schema
    schema.SetInParent()
    schema.name = collection.name
    schema.description = collection.description
    schema.autoID = collection.auto_id
    schema.enable_dynamic_field = collection.enable_dynamic_field
    for position in collection.start_positions:
        message.start_positions.add(key=position.channel, data=position.position)
    fill_pairs(message.properties, collection.properties)
    return _encoded(message)


def encode_partition(partition: Partition) -> bytes:
    """`milvus.proto.etcd.PartitionInfo`."""
    return _encoded(
        _new(_PARTITION)(
            partitionID=partition.id,
            partitionName=partition.name,
            partition_created_timestamp=partition.created_at,
            collection_id=partition.collection_id,
            state=partition.state,
        )
    )


def encode_field(field: Field) -> bytes:
    """`milvus.proto.schema.FieldSchema`; its state, element type and default are never written."""
    message = _new(_FIELD)()
    fill_field(message, field)
    return _encoded(message)


def encode_alias(alias: Alias) -> bytes:
    """`milvus.proto.etcd.AliasInfo`."""
    return _encoded(
        _new(_ALIAS)(
            alias_name=alias.name,
            collection_id=alias.collection_id,
            created_time=alias.created_at,
            db_id=alias.db_id,
        )
    )


def decode(deletion: events.Deletion, value: bytes) -> object:
    """The event of a put of the key whose deletion is `deletion`.

    Raises BadValue, whose text does not name the key.

    The ids are those of the key: that is where the record will be written again.
    """
    try:
        return _DECODERS[type(deletion)](deletion, value)
    except DecodeError as error:
        raise BadValue(f"no protobuf message: {error}") from None
    except ValueError as error:
        raise BadValue(str(error)) from None


def _database(deletion: events.DatabaseDeleted, value: bytes) -> events.DatabasePut:
    message = _new(_DATABASE).FromString(value)
    _require(message.id == deletion.database_id and message.name, message)
    return events.DatabasePut(Database(message.id, message.name, message.created_time))


def _collection(deletion: events.CollectionDeleted, value: bytes) -> events.CollectionPut:
    message = _new(_COLLECTION).FromString(value)
    schema = message.schema
    _require(deletion.collection_id == message.ID and schema.name, message)
    ids = message.partitionIDs
    # Go takes a record for one of the old layout only when it has both.
    embedded = bool(ids) and bool(schema.fields)
    collection = Collection(
        id=message.ID,
        db_id=deletion.database_id,
        name=schema.name,
        description=schema.description,
        auto_id=schema.autoID,
        enable_dynamic_field=schema.enable_dynamic_field,
        fields=tuple(field_of(field) for field in schema.fields) if embedded else (),
        virtual_channels=tuple(message.virtual_channel_names),
        physical_channels=tuple(intern(name) for name in message.physical_channel_names),
        shards=message.shards_num,
        start_positions=tuple(
            StartPosition(intern(pair.key), pair.data) for pair in message.start_positions
        ),
        consistency_level=message.consistency_level,
        properties=pairs_of(message.properties),
        created_at=Timestamp(message.create_time),
        state=CollectionState(message.state),
    )
    return events.CollectionPut(collection, _embedded_partitions(message) if embedded else ())


def _embedded_partitions(message: Any) -> tuple[Partition, ...]:
    partitions = zip(
        message.partitionIDs,
        message.partitionNames,
        message.partition_created_timestamps,
        strict=True,
    )
    return tuple(
        Partition(partition_id, intern(name), message.ID, Timestamp(created_at))
        for partition_id, name, created_at in sorted(partitions)
    )


def _partition(deletion: events.PartitionDeleted, value: bytes) -> events.PartitionPut:
    message = _new(_PARTITION).FromString(value)
    _require(message.partitionID == deletion.partition_id and message.partitionName, message)
    return events.PartitionPut(
        Partition(
            id=message.partitionID,
            name=intern(message.partitionName),
            collection_id=deletion.collection_id,
            created_at=Timestamp(message.partition_created_timestamp),
            state=PartitionState(message.state),
        )
    )


def _field(deletion: events.FieldDeleted, value: bytes) -> events.FieldPut:
    field = _field_in(value)
    _require(field.id == deletion.field_id and field.name, field)
    return events.FieldPut(deletion.collection_id, field)


@lru_cache(_KNOWN_FIELDS)
def _field_in(value: bytes) -> Field:
    """The same object for the same bytes: most fields are like those of many collections."""
    return field_of(_new(_FIELD).FromString(value))


def _alias(deletion: events.AliasDeleted, value: bytes) -> events.AliasPut:
    if deletion.home is events.AliasHome.OLDEST:
        return _oldest_alias(deletion, value)
    message = _new(_ALIAS).FromString(value)
    _require(message.alias_name == deletion.name and message.collection_id, message)
    created_at = Timestamp(message.created_time)
    alias = Alias(deletion.name, deletion.database_id, message.collection_id, created_at)
    return events.AliasPut(alias, deletion.home)


def _oldest_alias(deletion: events.AliasDeleted, value: bytes) -> events.AliasPut:
    """Before 2.1 the value was the collection, under the alias as its name."""
    message = _new(_COLLECTION).FromString(value)
    _require(message.schema.name == deletion.name and message.ID, message)
    return events.AliasPut(
        Alias(deletion.name, deletion.database_id, message.ID, Timestamp(0)), deletion.home
    )


_DECODERS: Final[Mapping[type, Callable[[Any, bytes], object]]] = {
    events.DatabaseDeleted: _database,
    events.CollectionDeleted: _collection,
    events.PartitionDeleted: _partition,
    events.FieldDeleted: _field,
    events.AliasDeleted: _alias,
}


@cache
def _new(name: str) -> Any:
    return message_class(name)


def _encoded(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _require(condition: object, message: object) -> None:
    if not condition:
        raise ValueError(f"the value belongs elsewhere or is incomplete: {message!s:.200}")
