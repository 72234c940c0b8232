"""Names of keys as people write them: what is one key, and what is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from milvus_coord.config.origin import Entry
from milvus_coord.config.others import OF_EACH_ROLE, READERS, TABLES
from milvus_coord.config.section import leaves, open_sections
from milvus_coord.config.settings import Settings
from milvus_coord.model.roles import SECTIONS

_DROPPED: Final = str.maketrans("", "", "/_.")
_CLOSE: Final = 0.8
UNKNOWN_MAX: Final = 20
"""So many are told with what may be meant, which takes a millisecond each."""

_OF_OTHERS: Final = frozenset(
    {
        *("proxy", "querynode", "datanode", "indexnode", "minio", "localstorage"),
        *("rocksmq", "knowhere", "tls"),
    }
)
"""Sections, squashed, in which Go's coordinators look for nothing but what is known here."""


def squash(name: str) -> str:
    """The form under which a key is looked up: lower case, no leading "milvus.", no `/`, `_`, `.`.

    So ROOT_COORD_PORT, rootcoord.port and rootCoord/port are one key (Go 2.2.16 does the same).
    """
    return name.lower().removeprefix("milvus.").translate(_DROPPED)


def _known() -> Iterator[str]:
    yield from (leaf.key for leaf in leaves(Settings))
    yield from READERS
    yield from (f"{section}.{key}" for section in SECTIONS.values() for key in OF_EACH_ROLE)


_KNOWN: Final = {squash(key): key for key in _known()}
"""All that some process of Milvus 2.2 reads, and our own, by the squashed name."""

_SECTIONS: Final = {squash(key.partition(".")[0]): key.partition(".")[0] for key in _KNOWN.values()}

_OPEN: Final = (*(f"{table.key}.".lower() for table in open_sections(Settings)), *TABLES)


def spelled_twice(values: Iterable[tuple[str, Entry]]) -> Iterator[str]:
    """A sentence for each key of a file that is there in several spellings."""
    before: dict[str, tuple[str, Entry]] = {}
    for name, entry in values:
        earlier, was = before.get(squash(name), (name, entry))
        if earlier != name:
            yield (
                f"{was.origin}: {earlier} is the same key as {name} on line {entry.origin.line}; "
                f"what the last one says is used"
            )
        before[squash(name)] = name, entry


def unknown(values: Iterable[tuple[str, Entry]]) -> Iterator[str]:
    """A sentence for each of the first keys of a file that no process of Milvus 2.2 reads.

    Not for sections that others own, nor for those that nobody knows and that resemble none: tools
    and charts add them.
    """
    left = 0
    for name, entry in values:
        section, dot, rest = name.partition(".")
        if squash(name) in _KNOWN or squash(section) in _OF_OTHERS:
            continue
        if name.lower().startswith(_OPEN) or not (meant := _section(section)):
            continue
        left += 1
        if left > UNKNOWN_MAX:
            continue
        if squash(meant) == squash(section):
            inside = [key for key in _KNOWN.values() if key.startswith(f"{meant}.")]
            close = difflib.get_close_matches(name, inside, n=1)
            hint = (
                f" and has no effect, did you mean {close[0]}?" if close else " and has no effect"
            )
        else:
            hint = f", did you mean {meant}{dot}{rest}?"
        yield f"{entry.origin}: {name} is unknown{hint}"
    if left > UNKNOWN_MAX:
        yield f"{left - UNKNOWN_MAX} more keys are unknown and have no effect"


@lru_cache(maxsize=64)
def _section(name: str) -> str:
    """The section of that name, else the one that resembles it, "" when there is none."""
    close = difflib.get_close_matches(name, _SECTIONS.values(), n=1, cutoff=_CLOSE)
    return _SECTIONS.get(squash(name)) or next(iter(close), "")
