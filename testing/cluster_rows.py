"""Rows whose neighbours are known: row n lies at (n, n, ...), so n is nearest to what is near n."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

DIM: Final = 8
FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "id", "dtype": "INT64", "is_primary": True},
    {"name": "kind", "dtype": "VARCHAR", "max_length": 32},
    {"name": "vector", "dtype": "FLOAT_VECTOR", "dim": DIM},
]
INDEX: Final = {"index_type": "IVF_FLAT", "metric_type": "L2", "params": {"nlist": 16}}


def at(place: float) -> list[float]:
    """A vector; the two whole numbers around `place` are its nearest rows."""
    return [place] * DIM


def rows(ids: Iterable[int], **more: Any) -> list[dict[str, Any]]:
    """One row for each id, its kind is `even` or `odd`; `more` goes into each."""
    return [
        {"id": n, "kind": "odd" if n % 2 else "even", "vector": at(float(n)), **more} for n in ids
    ]


def ids(found: Iterable[dict[str, Any]]) -> list[int]:
    """The ids of rows that a query returned, ascending."""
    return sorted(row["id"] for row in found)
