"""The base of all sections, and the leaves of a tree of sections: one per configuration key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from milvus_coord.config.fallback import Fallback, ReadWith
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
class Table:
    """Marks a section whose keys are somebody else's: any name with any text.

    Each source adds to it; of two sources with one name the usual priority holds.
    """

    def name(self, rest: str) -> str:
        """The name that a source spells `rest`, without the section's own."""
        raise NotImplementedError

    def parse(self, texts: dict[str, str]) -> object:
        """The value of what all sources say together."""
        raise NotImplementedError

    def show(self, value: Any) -> dict[str, str]:
        """Names and texts for people, secrets masked."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, _: object, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


@dataclass(frozen=True, slots=True)
class OpenSection:
    """One table, "kafka.producer": `fields` and `aliases` as those of a leaf."""

    key: str
    fields: tuple[str, ...]
    aliases: tuple[str, ...]
    table: Table

    def show(self, root: object) -> dict[str, str]:
        """What a tree of sections has here: full keys and texts for people."""
        for field in self.fields:
            root = getattr(root, field)
        return {f"{self.key}.{name}": text for name, text in self.table.show(root).items()}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One key, "etcd.ssl.tlsCert": `fields` leads to it in Python, `aliases` in a source's data.

    `fallbacks` and `switch` (see `ReadWith`; "" for none) are about texts that Go takes.
    """

    key: str
    fields: tuple[str, ...]
    aliases: tuple[str, ...]
    kind: Kind
    default: object
    only: Only | None
    fallbacks: tuple[Fallback, ...] = ()
    switch: str = ""

    def of(self, root: object) -> object:
        """Get the value of the key out of a tree of sections."""
        for field in self.fields:
            root = getattr(root, field)
        return root


@cache
def leaves(root: type[BaseModel]) -> tuple[Leaf, ...]:
    """Every key below `root`, in the order of declaration."""
    return tuple(part for part in _walk(root, (), (), None) if isinstance(part, Leaf))


@cache
def open_sections(root: type[BaseModel]) -> tuple[OpenSection, ...]:
    """Every table below `root`."""
    return tuple(part for part in _walk(root, (), (), None) if isinstance(part, OpenSection))


def _walk(
    model: type[BaseModel],
    fields: tuple[str, ...],
    aliases: tuple[str, ...],
    only: Only | None,
    switch: str = "",
) -> Iterator[Leaf | OpenSection]:
    for name, info in model.model_fields.items():
        here = (*fields, name)
        spelled = (*aliases, info.alias or name)
        limit = next((mark for mark in info.metadata if isinstance(mark, Only)), only)
        read = next((mark.switch for mark in info.metadata if isinstance(mark, ReadWith)), switch)
        table = next((mark for mark in info.metadata if isinstance(mark, Table)), None)
        if table is not None:
            yield OpenSection(".".join(spelled), here, spelled, table)
        elif isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _walk(info.annotation, here, spelled, limit, read)
        else:
            key, kind = ".".join(spelled), _kind(name, info)
            fallbacks = tuple(mark for mark in info.metadata if isinstance(mark, Fallback))
            read = "" if read == key else read
            yield Leaf(key, here, spelled, kind, info.default, limit, fallbacks, read)


def _kind(name: str, info: FieldInfo) -> Kind:
    for mark in info.metadata:
        if isinstance(mark, Kind):
            return mark
    raise TypeError(f"configuration field {name} has no kind")
