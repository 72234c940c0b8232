"""Whether a collection is what a CreateCollection asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from milvus_coord.model.collection import Collection, Partition
from milvus_coord.model.schema import Field, Pairs


def same_definition(
    one: Collection,
    partitions_of_one: Sequence[Partition],
    other: Collection,
    partitions_of_other: Sequence[Partition],
) -> bool:
    """Whether both come from the same request; ids, channels and times do not count.

    Partitions are those that users see, in the order of their ids: as in Go 2.2.16, a collection
    that was given another partition is no longer the same.
    """
    return (
        _plain(one) == _plain(other)
        and _pairs(one.properties) == _pairs(other.properties)
        and [p.name for p in partitions_of_one] == [p.name for p in partitions_of_other]
        and same_fields(one.fields, other.fields)
    )


def same_fields(some: Iterable[Field], others: Iterable[Field]) -> bool:
    """Whether both are the same fields, in any order.

    Go compares them in the order in which it happens to hold them, which a restart changes: an
    identical create is then refused. By id it is idempotent for ever.
    """
    return _by_id(some) == _by_id(others)


def _plain(c: Collection) -> tuple[object, ...]:
    return (
        c.db_id,
        c.name,
        c.description,
        c.auto_id,
        c.shards,
        c.consistency_level,
        c.enable_dynamic_field,
    )


def _by_id(fields: Iterable[Field]) -> dict[int, tuple[object, ...]]:
    return {field.id: _field(field) for field in fields}


def _field(field: Field) -> tuple[object, ...]:
    return (
        field.name,
        field.data_type,
        field.description,
        field.is_primary_key,
        field.auto_id,
        field.is_dynamic,
        field.is_partition_key,
        _pairs(field.type_params),
        _pairs(field.index_params),
    )


def _pairs(pairs: Pairs) -> dict[str, str]:
    return dict(pairs)
