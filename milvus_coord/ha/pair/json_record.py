"""Records that the instances of ours leave for each other in etcd: compact JSON objects."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from typing import Any, Final

from milvus_coord.model.errors import BadValue

MALFORMED: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What reading a field of whatever JSON there is may raise; OverflowError is for `1e999`."""

BYTES_MAX: Final = 64 << 10
"""Of a record; ours have some hundred."""

INT64_MAX: Final = 2**63 - 1
SHOWN: Final = 200
"""Bytes of a key or value that a sentence has."""

UNIX_MS_MAX: Final = 253_402_214_400_000
"""The last day of the year 9999."""


def encode(record: Any) -> bytes:
    """A dataclass of plain values, enums, tuples and dicts as JSON, fields in their order."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, default=_plain)
    return text.encode()


def fields_of(key: bytes, value: bytes) -> dict[str, Any]:
    """The JSON object under `key`. Raises BadValue that names key and value."""
    if len(value) > BYTES_MAX:
        raise unreadable(key, value, f"{len(value)} bytes")
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise unreadable(key, value, str(error)) from error
    if not isinstance(fields, dict):
        raise unreadable(key, value, "not a JSON object")
    return fields


def unix_ms(value: Any) -> int:
    """A time in Unix milliseconds that a calendar has. Raises one of MALFORMED."""
    return whole(value, UNIX_MS_MAX)


def whole(value: Any, high: int = INT64_MAX) -> int:
    """A whole number from 0 to `high`. Raises one of MALFORMED."""
    if type(value) is not int:
        raise TypeError(f"a {type(value).__name__} where a whole number belongs")
    if not 0 <= value <= high:
        raise ValueError(f"a number that is not from 0 to {high}")
    return value


def maybe_whole(value: Any) -> int | None:
    """A whole number from 0 up, or null. Raises one of MALFORMED."""
    return None if value is None else whole(value)


def text(value: Any) -> str:
    """A text that UTF-8 can hold: JSON can escape half a character. Raises one of MALFORMED."""
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where a text belongs")
    value.encode()
    return value


def unreadable(key: bytes, value: bytes, why: str) -> BadValue:
    """The error of a record that cannot be read."""
    name = key[:SHOWN].decode(errors="replace")
    return BadValue(f"{name} is not readable: {value[:SHOWN]!r} ({why})")


def _plain(value: Any) -> Any:
    """What JSON has no word for, wherever it stands."""
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{value!r} has no place in a record")
