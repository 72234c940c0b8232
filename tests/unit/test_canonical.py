"""Canonical text of plain values and of what is made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.ha.mirror import canonical

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.binary(max_size=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=8,
)
HOLDINGS = st.recursive(
    VALUES,
    lambda inner: (
        st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
        | st.sets(LEAVES, max_size=3)
    ),
)


def exact(value: Any) -> Hashable:
    """What makes two values the same: content and kind, for True is not 1 here."""
    if isinstance(value, dict):
        return "dict", frozenset((exact(key), exact(held)) for key, held in value.items())
    if isinstance(value, tuple):
        return "tuple", tuple(map(exact, value))
    if isinstance(value, set | frozenset):
        return type(value).__name__, frozenset(map(exact, value))
    return type(value).__name__, value


@given(VALUES, VALUES)
def test_values_have_the_same_text_when_they_are_the_same(one: Any, other: Any) -> None:
    assert (canonical.text(one) == canonical.text(other)) == (exact(one) == exact(other))
    assert "\n" not in canonical.text(one)


@given(HOLDINGS, HOLDINGS)
def test_holdings_have_the_same_lines_when_they_are_the_same(one: Any, other: Any) -> None:
    lines = [list(canonical.lines("x", held, {})) for held in (one, other)]
    assert (lines[0] == lines[1]) == (exact(one) == exact(other))
    assert all("\n" not in line for line in lines[0])


@given(HOLDINGS)
def test_a_copy_is_the_same(held: Any) -> None:
    assert list(canonical.lines("x", canonical.copy(held), {})) == list(
        canonical.lines("x", held, {})
    )


@dataclass(frozen=True)
class Secret:
    name: str
    word: str | None = field(repr=False)


@dataclass
class Loose:
    name: str


class Open:
    def __init__(self, **held: object) -> None:
        self.__dict__.update(held)


class Texts(dict[str, str]):
    pass


def test_what_a_repr_hides_is_told_apart_but_not_shown() -> None:
    texts = {canonical.text(Secret("a", word)) for word in ("open", "sesame", "", None)}
    assert len(texts) == 4
    assert not any("sesame" in text for text in texts)


def test_a_copy_is_not_reached_by_changes() -> None:
    held = Open(names={"a": {1, 2}}, counts=Counter("aab"), inner=Open(x=(1,)), loose=Loose("n"))
    copied: Any = canonical.copy(held)
    before = list(canonical.lines("", copied, {}))
    held.names["a"].add(3)  # type: ignore[attr-defined]
    held.counts["z"] += 1  # type: ignore[attr-defined]
    held.inner.x = (2,)  # type: ignore[attr-defined]
    held.loose.name = "m"  # type: ignore[attr-defined]
    assert (
        list(canonical.lines("", copied, {}))
        == before
        == [
            "counts/'a' 2",
            "counts/'b' 1",
            "inner/x (1)",
            "loose/name 'n'",
            "names/'a'/1",
            "names/'a'/2",
        ]
    )


def test_what_is_counted_zero_times_is_not_there() -> None:
    assert list(canonical.lines("x", Counter(a=0, b=1), {})) == ["x/'b' 1"]


@pytest.mark.parametrize("odd", [Texts(a="1"), [1], 1.5, object(), print, Open(x=[1])])
def test_what_has_no_text_is_refused_and_not_left_out(odd: object) -> None:
    with pytest.raises(canonical.NotCanonical):
        list(canonical.lines("x", canonical.copy(odd), {}))
    with pytest.raises(canonical.NotCanonical):
        list(canonical.lines("x", odd, {}))
