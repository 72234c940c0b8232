"""Times and tables as the verbs print them."""

from __future__ import annotations

import asyncio

import pytest

from milvus_coord.cli import connection
from milvus_coord.cli.format import age, millis, printable, span
from milvus_coord.cli.table import table
from milvus_coord.telemetry.log import log


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (-3, "0.0 s", "0s"),
        (0.34, "0.3 s", "0s"),
        (9.96, "10.0 s", "9s"),
        (59.9, "59 s", "59s"),
        (61, "1 min", "61s"),
        (3599, "59 min", "59m"),
        (7199, "1 h", "119m"),
        (172_799, "47 h", "47h"),
        (172_800, "2 days", "2d"),
    ],
)
def test_lengths_of_time(seconds: float, long: str, short: str) -> None:
    assert (span(seconds), age(seconds)) == (long, short)


@pytest.mark.parametrize(("ms", "text"), [(0, "0"), (0.34, "0.3"), (9.96, "10"), (123.4, "123")])
def test_milliseconds(ms: float, text: str) -> None:
    assert millis(ms) == text


def test_numbers_stand_close_and_words_apart() -> None:
    assert table(("NAME", "A", "B", "END"), [("x", "1", "22", "y")], right="A B") == [
        "NAME  A  B  END",
        "x     1 22  y",
    ]


def test_heads_are_cleaned_too() -> None:
    assert table(("A\x1b[31m",), [("x",)])[0].startswith("A\N{REPLACEMENT CHARACTER}[31m")


def test_control_characters_do_not_get_through() -> None:
    assert printable("a\x1b[2J\nb") == "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b"


def test_a_verb_whose_output_nobody_reads_raises_that_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fails(*_: object) -> int:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_raise(BrokenPipeError()))
        return 0

    monkeypatch.setattr(connection, "_run", fails)
    monkeypatch.setattr(log, "floor", log.floor)  # verbs raise it for good
    with pytest.raises(BrokenPipeError):
        connection.run(lambda _: fails(), connection.Place(), role="rootcoord")


async def _raise(error: Exception) -> None:
    raise error
