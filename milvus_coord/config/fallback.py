"""Illegal texts with which Go 2.2.16 starts all the same, and what holds then: marks for keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from milvus_coord.config.kinds import REAL, WHOLE

Test: TypeAlias = Callable[[str], bool]

_INFINITE: Final = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fallback:
    """Marks a key with whose illegal texts Go starts, those for which `texts` holds.

    `instead` makes the text that holds then; without it the key counts as not set.
    """

    texts: Test
    instead: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class ReadWith:
    """Marks a key or a section at which Go does not look unless the key `switch` is on.

    A flag is on when it is true, a text when it is not empty.
    """

    switch: str


def anything(_: str) -> bool:
    """Go does not read the key, or takes its default for whatever it cannot parse."""
    return True


def empty(text: str) -> bool:
    """The key is there without a value."""
    return not text


def no_whole(text: str) -> bool:
    """Go's strconv.Atoi refuses it."""
    return not WHOLE.fullmatch(text)


def a_number(text: str) -> bool:
    """Go parses it; what is out of range is replaced, where it panics at other texts."""
    return bool(REAL.fullmatch(text) or _INFINITE.fullmatch(text))


def infinite(text: str) -> bool:
    """Go parses it as a rate without a limit."""
    return bool(_INFINITE.fullmatch(text))


def below(low: int) -> Test:
    """A whole number that is too low."""
    return lambda text: bool(WHOLE.fullmatch(text)) and int(text) < low


def between(low: int, high: int) -> Test:
    """A whole number from `low` to `high`."""
    return lambda text: bool(WHOLE.fullmatch(text)) and low <= int(text) <= high


def above(high: int) -> Test:
    """A whole number that is too high."""
    return lambda text: bool(WHOLE.fullmatch(text)) and int(text) > high


def zero(text: str) -> bool:
    """The number 0, which stands for the default."""
    return bool(WHOLE.fullmatch(text)) and int(text) == 0


def always(text: str) -> Callable[[str], str]:
    """`text`, whatever was there."""
    return lambda _: text


def has_holes(text: str) -> bool:
    """A list with empty places that names something nevertheless."""
    parts = [part.strip() for part in text.split(",")]
    return "" in parts and any(parts)


def without_holes(text: str) -> str:
    """The list without its empty places."""
    return ",".join(part.strip() for part in text.split(",") if part.strip())
