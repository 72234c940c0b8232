"""Fields of a collection, and its schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Key-value pairs in the order in which they came; Milvus keeps them so."""

FIRST_FIELD_ID: Final = 100
ROW_ID: Final = "RowID"
TIMESTAMP: Final = "Timestamp"
DYNAMIC: Final = "$meta"

INT64: Final = 5
JSON: Final = 23
BINARY_VECTOR: Final = 100
FLOAT_VECTOR: Final = 101


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `data_type` is a number of `milvus.proto.schema.DataType`.

    Ids are 100 + position, 0 is RowID and 1 Timestamp, which every collection has.
    """

    id: int
    name: str
    data_type: int
    description: str = ""
    is_primary_key: bool = False
    auto_id: bool = False
    is_dynamic: bool = False
    is_partition_key: bool = False
    type_params: Pairs = ()
    index_params: Pairs = ()


@dataclass(frozen=True, slots=True)
class CollectionSchema:
    """What a user wants of a new collection; its fields have the ids that came with them."""

    name: str
    description: str = ""
    auto_id: bool = False
    enable_dynamic_field: bool = False
    fields: tuple[Field, ...] = ()
