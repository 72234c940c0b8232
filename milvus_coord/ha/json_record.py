"""Records that the instances of ours leave for each other in etcd: compact JSON objects."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from typing import Any

from milvus_coord.model.errors import BadValue


def encode(record: Any) -> bytes:
    """A dataclass of plain values, enums, tuples and dicts as JSON, fields in their order."""
    fields = {
        field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)
    }
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def fields_of(key: bytes, value: bytes) -> dict[str, Any]:
    """The JSON object under `key`. Raises BadValue that names key and value."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise unreadable(key, value, str(error)) from error
    if not isinstance(fields, dict):
        raise unreadable(key, value, "not a JSON object")
    return fields


def unreadable(key: bytes, value: bytes, why: str) -> BadValue:
    """The error of a record that cannot be read."""
    return BadValue(f"{key.decode(errors='replace')} is not readable: {value[:200]!r} ({why})")


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
