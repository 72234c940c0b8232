"""Values as canonical text: equal values give equal lines, and different ones different lines."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cache
from types import MethodType
from typing import Any, Final, TypeAlias

Views: TypeAlias = Mapping[type, Callable[[Any], Mapping[str, object]]]
"""For a class, what of an object counts, by name, instead of all its attributes."""

_PLAIN: Final = frozenset({int, str, bytes, bool, type(None)})
_SHARED: Final[set[type]] = set(_PLAIN)
"""Classes met so far whose objects cannot change: looked up many times."""

_HIDDEN_DIGITS: Final = 32


class NotCanonical(TypeError):
    """A value of a class that has no canonical text."""


def attributes(holder: object) -> dict[str, object]:
    """All attributes of an object, with slots or without, by name less the leading underscore."""
    return {name.lstrip("_"): getattr(holder, name) for name in _attribute_names(holder)}


def copy(value: Any) -> Any:
    """A copy that later changes of `value` do not reach; it shares what cannot change.

    Of 10,000 collections it takes some milliseconds. What a frozen dataclass, a tuple or a
    frozenset holds counts as unchangeable.
    """
    kind: Any = type(value)
    if kind is dict:
        return {key: held if type(held) in _SHARED else copy(held) for key, held in value.items()}
    if kind in {set, Counter}:
        return kind(value)
    if _is_value(kind):
        _SHARED.add(kind)
        return value
    names = _attribute_names(value)
    twin = kind.__new__(kind)
    for name in names:
        held = getattr(value, name)
        setattr(twin, name, held if type(held) in _SHARED else copy(held))
    return twin


def lines(name: str, value: Any, views: Views) -> Iterator[str]:
    """All of `value`, one line `<name> <text>` for each part, sorted level by level.

    Names are paths. Sorted are attributes, the keys of dicts, and sets; of a tuple of dataclasses
    each is a line of its own, named by its `id` if it has one, else by its place, and one line
    tells their order. Raises NotCanonical.
    """
    kind: Any = type(value)
    if kind is tuple and any(dataclasses.is_dataclass(item) for item in value):
        names = [text(getattr(item, "id", place)) for place, item in enumerate(value)]
        yield f"{name} [{' '.join(names)}]"
        for each, item in zip(names, value, strict=True):
            yield f"{name}/{each} {text(item)}"
    elif kind in {dict, Counter}:
        held = {key: each for key, each in value.items() if kind is dict or each}
        if not held:
            yield f"{name} {{}}"
        for key in _sorted(held):
            yield from lines(f"{name}/{text(key)}", held[key], views)
    elif kind is set:
        if not value:
            yield f"{name} set()"
        for item in _sorted(value):
            yield f"{name}/{text(item)}"
    elif _is_value(kind):
        yield f"{name} {text(value)}"
    else:
        parts = views.get(kind, attributes)(value)
        for part in sorted(parts):
            yield from lines(f"{name}/{part}" if name else part, parts[part], views)


def text(value: Any) -> str:
    """A value that cannot change, on one line, nearly as Python writes it.

    Of what a dataclass does not show in its `repr` there is a digest. Raises NotCanonical.
    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind is tuple:
        return f"({', '.join(map(text, value))})"
    if kind is frozenset:
        return f"frozenset({', '.join(sorted(map(text, value)))})"
    if issubclass(kind, Enum):
        return f"{kind.__name__}.{value.name}"
    if _is_value(kind) and dataclasses.is_dataclass(kind):
        return _dataclass_text(value)
    raise NotCanonical(f"{kind.__qualname__} {value!r:.200} has no canonical text")


def _dataclass_text(value: Any) -> str:
    kind: Any = type(value)
    name, fields = _fields(kind)
    shown = ", ".join(
        f"{field}={text(held) if open_ else _hidden(held)}"
        for field, open_ in fields
        for held in (getattr(value, field),)
    )
    return f"{name}({shown})"


def _hidden(value: Any) -> str:
    if value is None:
        return "None"
    return f"sha256:{hashlib.sha256(text(value).encode()).hexdigest()[:_HIDDEN_DIGITS]}"


def _sorted(keys: Any) -> list[Any]:
    """In their own order if they are numbers or strings, else in that of their texts."""
    kinds = {type(key) for key in keys}
    return sorted(keys) if kinds in ({int}, {str}) else sorted(keys, key=text)


@cache
def _fields(kind: Any) -> tuple[str, tuple[tuple[str, bool], ...]]:
    fields = tuple((field.name, field.repr) for field in dataclasses.fields(kind))
    return kind.__name__, fields


@cache
def _is_value(kind: type) -> bool:
    """Whether objects of the class cannot change, so that they may be shared."""
    if kind in _PLAIN or kind in {tuple, frozenset, MethodType} or issubclass(kind, Enum):
        return True
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _attribute_names(holder: Any) -> tuple[str, ...]:
    kind: Any = type(holder)
    slots, open_ = _slots(kind)
    return (*slots, *vars(holder)) if open_ else slots


@cache
def _slots(kind: type) -> tuple[tuple[str, ...], bool]:
    """The slots of a class, and whether its objects have other attributes, too."""
    names = (name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ()))
    found = tuple(name for name in names if name not in {"__dict__", "__weakref__"})
    # What objects of builtin classes hold, and of classes made from these, is in no attribute.
    if kind is object or any(base.__module__ == "builtins" for base in kind.__mro__[:-1]):
        raise NotCanonical(f"{kind.__qualname__} does not tell what it holds")
    return found, kind.__dictoffset__ != 0
