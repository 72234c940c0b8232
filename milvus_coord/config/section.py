"""The base of all sections, and the leaves of a tree of sections: one per configuration key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from milvus_coord.config.kinds import Kind

SourceName = Literal["etcd", "environment", "file", "default"]


class Section(BaseModel):
    """A frozen group of keys. Aliases are Milvus' names; dots in one stand for nested mappings."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, hide_input_in_errors=True
    )


@dataclass(frozen=True, slots=True)
class Only:
    """Marks a key or section that is read from `sources` alone; `because` is said where it is not.

    `quiet` makes that a note instead of a warning: for what the shipped file contains anyway.
    """

    sources: frozenset[SourceName]
    because: str
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """One key, "etcd.ssl.tlsCert": `fields` leads to it in Python, `aliases` in a source's data."""

    key: str
    fields: tuple[str, ...]
    aliases: tuple[str, ...]
    kind: Kind
    default: object
    only: Only | None

    def of(self, root: object) -> object:
        """Get the value of the key out of a tree of sections."""
        for field in self.fields:
            root = getattr(root, field)
        return root


@cache
def leaves(root: type[BaseModel]) -> tuple[Leaf, ...]:
    """Every key below `root`, in the order of declaration."""
    return tuple(_walk(root, (), (), None))


def _walk(
    model: type[BaseModel], fields: tuple[str, ...], aliases: tuple[str, ...], only: Only | None
) -> Iterator[Leaf]:
    for name, info in model.model_fields.items():
        here = (*fields, name)
        spelled = (*aliases, info.alias or name)
        limit = next((mark for mark in info.metadata if isinstance(mark, Only)), only)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _walk(info.annotation, here, spelled, limit)
        else:
            yield Leaf(".".join(spelled), here, spelled, _kind(name, info), info.default, limit)


def _kind(name: str, info: FieldInfo) -> Kind:
    for mark in info.metadata:
        if isinstance(mark, Kind):
            return mark
    raise TypeError(f"configuration field {name} has no kind")
