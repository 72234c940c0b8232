"""The schema of a collection on the wire: `milvus.proto.schema.CollectionSchema` and its fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError

from milvus_coord.model.collection import Collection
from milvus_coord.model.errors import Refused
from milvus_coord.model.schema import CollectionSchema, Field, Pairs
from milvus_coord.wire.descriptors import message_class

_COLLECTION_SCHEMA: Final = "milvus.proto.schema.CollectionSchema"


def parse_schema(data: bytes) -> CollectionSchema:
    """What a client wants: the fields in its order, their ids as it sent them.

    Field states, element types and default values are dropped, as Go 2.2.16 drops them. Raises
    Refused for bytes that are no schema.
    """
    message: Any = message_class(_COLLECTION_SCHEMA)()
    try:
        message.MergeFromString(data)
    except DecodeError as error:
        raise Refused(f"the schema cannot be parsed: {error}") from error
    return CollectionSchema(
        name=message.name,
        description=message.description,
        auto_id=message.autoID,
        enable_dynamic_field=message.enable_dynamic_field,
        fields=tuple(map(field_of, message.fields)),
    )


def encode_schema(schema: CollectionSchema | Collection) -> bytes:
    """The bytes that a CreateCollection carries, to us and into the queue."""
    message: Any = message_class(_COLLECTION_SCHEMA)()
    fill_schema(message, schema)
    data: bytes = message.SerializeToString()
    return data


def fill_schema(message: Any, schema: CollectionSchema | Collection) -> None:
    """Write the schema, or that of a collection, into an empty upb CollectionSchema."""
    message.name = schema.name
    message.description = schema.description
    message.autoID = schema.auto_id
    message.enable_dynamic_field = schema.enable_dynamic_field
    for field in schema.fields:
        fill_field(message.fields.add(), field)


def field_of(message: Any) -> Field:
    """The field in a upb FieldSchema."""
    return Field(
        id=message.fieldID,
        name=message.name,
        data_type=message.data_type,
        description=message.description,
        is_primary_key=message.is_primary_key,
        auto_id=message.autoID,
        is_dynamic=message.is_dynamic,
        is_partition_key=message.is_partition_key,
        type_params=pairs_of(message.type_params),
        index_params=pairs_of(message.index_params),
    )


def fill_field(message: Any, field: Field) -> None:
    """Write `field` into an empty upb FieldSchema."""
    message.fieldID = field.id
    message.name = field.name
    message.data_type = field.data_type
    message.description = field.description
    message.is_primary_key = field.is_primary_key
    message.autoID = field.auto_id
    message.is_dynamic = field.is_dynamic
    message.is_partition_key = field.is_partition_key
    fill_pairs(message.type_params, field.type_params)
    fill_pairs(message.index_params, field.index_params)


def pairs_of(messages: Iterable[Any]) -> Pairs:
    """The pairs in KeyValuePair messages, of whichever of our two kinds."""
    return tuple((pair.key, pair.value) for pair in messages)


def fill_pairs(container: Any, pairs: Pairs) -> None:
    """Append `pairs` to a repeated upb KeyValuePair."""
    for key, value in pairs:
        container.add(key=key, value=value)
