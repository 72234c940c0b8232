"""Every way to change one thing in an object, found by walking it, whatever its class."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import MethodType
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    """One change: `apply` makes it, `undo` takes it back; `where` names it."""

    where: str
    apply: Callable[[], None]
    undo: Callable[[], None]

    @contextmanager
    def applied(self) -> Iterator[None]:
        self.apply()
        try:
            yield
        finally:
            self.undo()


def attribute_names(holder: object) -> list[str]:
    """Of an object that is no dataclass and no builtin."""
    slots = [name for base in type(holder).__mro__ for name in base.__dict__.get("__slots__", ())]
    return [*slots, *getattr(holder, "__dict__", {})]


def mutants(holder: Any, where: str = "") -> Iterator[Mutant]:
    """All of them, for an object whose attributes may be set, a dict or a set, and all below."""
    if isinstance(holder, dict):
        for key in list(holder):
            if isinstance(holder, Counter) and not holder[key]:
                continue  # none is as good as no entry
            yield from _slot(holder[key], f"{where}[{key!r}]", _setter(holder.__setitem__, key))
            # Taken out and put back it comes last, which must not matter.
            yield Mutant(
                f"{where} without {key!r}",
                lambda key=key: holder.pop(key),  # type: ignore[misc]
                _setter_of(holder.__setitem__, key, holder[key]),
            )
    elif isinstance(holder, set):
        for item in list(holder):
            yield Mutant(
                f"{where} without {item!r}",
                lambda item=item: holder.discard(item),  # type: ignore[misc]
                lambda item=item: holder.add(item),  # type: ignore[misc]
            )
    else:
        for name in attribute_names(holder):
            value = getattr(holder, name)
            yield from _slot(value, f"{where}.{name}", _setter(holder.__setattr__, name))


def _slot(value: Any, where: str, put: Callable[[Any], None]) -> Iterator[Mutant]:
    """Changes of what one attribute or key holds."""
    if isinstance(value, dict) and value and all(isinstance(v, MethodType) for v in value.values()):
        return  # a table of its own methods
    if _is_changeable(value):
        yield from mutants(value, where)
        return
    for other in others(value):
        yield Mutant(f"{where} = {other!r}", _bound(put, other), _bound(put, value))


def others(value: Any) -> Iterator[Any]:
    """Values that differ from an unchangeable one in one thing each."""
    match value:
        case Enum():
            yield from (other for other in type(value) if other is not value)
        case bool():
            yield not value
        case int():
            yield value + 1
            yield -value - 1
        case str():
            yield value + "x"
            yield value + "\n"
        case bytes():
            yield value + b"\0"
        case None:
            yield "not None"
        case tuple():
            yield from _other_tuples(value)
        case frozenset():
            yield from (value - {item} for item in value)
            yield value | {-7}
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                for other in others(getattr(value, field.name)):
                    yield dataclasses.replace(value, **{field.name: other})
        case _:
            raise TypeError(f"how to change {value!r}?")


def _other_tuples(value: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for place, item in enumerate(value):
        yield value[:place] + value[place + 1 :]
        yield (*value[:place], item, *value[place:])
        for other in others(item):
            yield (*value[:place], other, *value[place + 1 :])
    if len(value) > 1 and value[0] != value[-1]:
        yield value[::-1]


def _is_changeable(value: Any) -> bool:
    if isinstance(value, dict | set):
        return True
    builtin = type(value).__module__ == "builtins"
    return not (builtin or isinstance(value, Enum) or dataclasses.is_dataclass(value))


def _setter(put: Callable[[Any, Any], None], name: Any) -> Callable[[Any], None]:
    return lambda value: put(name, value)


def _setter_of(put: Callable[[Any, Any], None], name: Any, value: Any) -> Callable[[], None]:
    return lambda: put(name, value)


def _bound(put: Callable[[Any], None], value: Any) -> Callable[[], None]:
    return lambda: put(value)
