"""Records as lines of text: equal records give equal lines, and different ones different lines.

A record is a value that cannot change: an int, str, bytes, bool or None, an Enum, a frozen
dataclass, or a tuple or frozenset of such. Of a dataclass the fields are written by name, those
that are at their default left out. So a version that adds a field with a default writes the same
line as the version before for each record in which the field is not used, and another one where it
is: there the two do hold different things. Whatever else changes lines needs another
`Mirrored.version`, or for all roles another `image.RECORDS`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from enum import Enum
from functools import cache
from typing import Any, Final

_PLAIN: Final = frozenset({int, str, bytes, bool, type(None)})
_HIDDEN_DIGITS: Final = 32
_SUM_BYTES: Final = 32


class NotARecord(TypeError):
    """A value of a class that has no line."""


def line(value: Any) -> str:
    """A record on one line, nearly as Python writes it.

    Of what a dataclass does not show in its `repr` there is a digest. Raises NotARecord.
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind is tuple:
        return f"({', '.join(map(line, value))})"
    if kind is frozenset:
        return f"frozenset({', '.join(sorted(map(line, value)))})"
    if isinstance(value, Enum):
        return f"{kind.__name__}.{value.name}"
    name, fields = _fields(kind)
    shown = []
    for field, hidden, default in fields:
        held = getattr(value, field)
        if held != default or type(held) is not type(default):
            shown.append(f"{field}={_hidden(held) if hidden else line(held)}")
    return f"{name}({', '.join(shown)})"


class Sum:
    """The digest of many records, in whatever order they are added; one added twice counts twice.

    It is the sum of the SHA-256 of all lines, as a number of 256 bits in hex: so nobody need sort
    800,000 records, and nobody need hold the event loop for it.
    """

    def __init__(self) -> None:
        self._sum = 0

    def add(self, text: bytes) -> None:
        """One line."""
        self._sum += int.from_bytes(hashlib.sha256(text).digest(), "big")

    def __str__(self) -> str:
        return f"{self._sum % (1 << 8 * _SUM_BYTES):0{2 * _SUM_BYTES}x}"


def _hidden(value: Any) -> str:
    if value is None:
        return "None"
    return f"sha256:{hashlib.sha256(line(value).encode()).hexdigest()[:_HIDDEN_DIGITS]}"


@cache
def _fields(kind: Any) -> tuple[str, tuple[tuple[str, bool, object], ...]]:
    """The class's name, and of each field its name, whether it is hidden, and its default."""
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise NotARecord(f"{kind.__qualname__} has no line: its objects may change")
    fields = dataclasses.fields(kind)
    return kind.__name__, tuple((each.name, not each.repr, _default(each)) for each in fields)


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
