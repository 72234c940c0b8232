"""All of RootCoord's metadata in memory as lines of text, to be compared with another's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from milvus_coord.coordinators.rootcoord.metadata.state import MetaState
from milvus_coord.coordinators.rootcoord.metadata.state_collection import CollectionEntry
from milvus_coord.ha.mirror import canonical

_CACHE: Final = "whole"


def lines(state: MetaState) -> Iterator[str]:
    """Everything, indexes too, as at this call; see `ha.canonical.lines`.

    Of a user's password hash there is a digest only. A collection put together from its parts that
    is not what the parts say is a line `.../stale`.
    """
    return canonical.lines("", canonical.copy(state), _VIEWS)


def _state(state: MetaState) -> Mapping[str, object]:
    held = canonical.attributes(state)
    del held["moves"]  # its own methods
    return held


def _entry(entry: CollectionEntry) -> Mapping[str, object]:
    """What it knows without what it has worked out, unless that is wrong."""
    held = canonical.attributes(entry)
    cached = held.pop(_CACHE)
    if cached is not None and cached != _anew(held).whole:
        held["stale"] = cached
    return held


def _anew(held: Mapping[str, object]) -> CollectionEntry:
    entry = CollectionEntry()
    for name, value in held.items():
        setattr(entry, f"_{name}", value)
    return entry


_VIEWS: Final[canonical.Views] = {MetaState: _state, CollectionEntry: _entry}
