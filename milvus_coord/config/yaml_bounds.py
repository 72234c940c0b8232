"""Bounds of YAML that people write: libyaml nests on the C stack, and aliases multiply."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

# libyaml is about ten times faster; PyYAML's wheels have it, a build from source may not.
FastLoader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BYTES_MAX: Final = 1 << 20
_DEPTH_MAX: Final = 64
_NODES_MAX: Final = 100_000


class TooLarge(Exception):
    """No configuration is as large or as deep; the text goes behind the name of the file."""


def read_bounded(path: Path) -> bytes:
    """The content of a file, however long it may be. Raises OSError and TooLarge."""
    with path.open("rb") as file:
        text = file.read(_BYTES_MAX + 1)
    if len(text) > _BYTES_MAX:
        raise TooLarge(f"has more than {_BYTES_MAX} bytes")
    return text


def check_bounds(text: str | bytes) -> None:
    """Raises TooLarge for what a loader should not be given, and yaml.YAMLError."""
    sizes: dict[str | None, int] = {}
    within: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, Loader=FastLoader):
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, nodes))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            sizes[anchor] = nodes - before
        if len(within) > _DEPTH_MAX:
            raise TooLarge(f"nests deeper than {_DEPTH_MAX}")
        if nodes > _NODES_MAX:
            raise TooLarge(f"holds more than {_NODES_MAX} values")
