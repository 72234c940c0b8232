"""Records as lines, and the sum of many."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.ha.mirror.records import NotARecord, Sum, line

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.binary(max_size=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=8,
)


def exact(value: Any) -> Hashable:
    """What makes two values the same: content and kind, for True is not 1 here."""
    if isinstance(value, tuple):
        return "tuple", tuple(map(exact, value))
    if isinstance(value, frozenset):
        return "frozenset", frozenset(map(exact, value))
    return type(value).__name__, value


@given(VALUES, VALUES)
def test_values_have_the_same_line_when_they_are_the_same(one: Any, other: Any) -> None:
    assert (line(one) == line(other)) == (exact(one) == exact(other))
    assert "\n" not in line(one)


@dataclass(frozen=True)
class Secret:
    name: str
    word: str | None = field(repr=False)


@dataclass(frozen=True)
class Before:
    name: str


@dataclass(frozen=True)
class After:
    name: str
    weight: int = 0
    tags: tuple[str, ...] = field(default_factory=tuple)
    flag: bool = False


class Colour(Enum):
    RED = 1


class Level(IntEnum):
    LOW = 1


@dataclass
class Loose:
    name: str


def test_what_a_repr_hides_is_told_apart_but_not_shown() -> None:
    lines = {line(Secret("a", word)) for word in ("open", "sesame", "", None)}
    assert len(lines) == 4
    assert not any("sesame" in text for text in lines)


def test_a_field_at_its_default_is_left_out_so_that_older_versions_agree() -> None:
    assert line(After("a")).replace("After", "Before") == line(Before("a"))
    assert line(After("a", tags=("x",))) == "After(name='a', tags=('x'))"
    assert line(After("a", weight=False)) == "After(name='a', weight=False)", "False is not 0"
    assert line((After("a"), Colour.RED, Level.LOW)) == "(After(name='a'), Colour.RED, Level.LOW)"


@pytest.mark.parametrize("odd", [Loose("a"), [1], {1: 2}, {1}, 1.5, object(), print, Loose])
def test_what_may_change_is_refused_and_not_left_out(odd: object) -> None:
    with pytest.raises(NotARecord):
        line((odd,))


def total(lines: list[bytes]) -> str:
    found = Sum()
    for each in lines:
        found.add(each)
    return str(found)


@given(st.lists(st.binary(max_size=2), max_size=8), st.randoms())
def test_a_sum_has_no_order_but_counts(lines: list[bytes], random: Any) -> None:
    mixed = list(lines)
    random.shuffle(mixed)
    assert total(mixed) == total(lines)
    assert len(total(lines)) == 64
    assert total([*lines, b"more"]) != total(lines)
    assert total([*lines, b"a", b"a"]) != total([*lines, b"a"])
