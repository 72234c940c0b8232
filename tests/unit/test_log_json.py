"""The JSON format: Go's keys in Go's order, whatever the fields hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.telemetry.logformat import Entry, encode_json

AT = datetime(2023, 11, 8, 7, 27, 40, 620_000, UTC)


def line(message: str, level: str = "WARN", /, **fields: object) -> str:
    return encode_json(Entry(AT, level, "retry/retry.go:44", message, fields))


def test_line_as_go_prints_it() -> None:
    assert line("retry func failed", **{"retry time": 0, "error": ValueError("no answer")}) == (
        '{"level":"WARN","time":"2023/11/08 07:27:40.620 +00:00","caller":"retry/retry.go:44",'
        '"message":"retry func failed","retry time":0,"error":"no answer"}'
    )


def test_values_keep_their_json_type() -> None:
    text = line(
        "m",
        n=1,
        f=0.5,
        t=True,
        none=None,
        error=None,
        span=timedelta(minutes=10),
        when=AT,
        data={"a": [1, b"x"]},
        nan=float("nan"),
        name='a "b"\n集合',
    )
    fields = json.loads(text)
    for key in ("level", "time", "caller", "message"):
        del fields[key]
    assert fields == {
        "n": 1,
        "f": 0.5,
        "t": True,
        "none": None,
        "span": "10m0s",
        "when": "2023/11/08 07:27:40.620 +00:00",
        "data": {"a": [1, "x"]},
        "nan": "NaN",
        "name": 'a "b"\n集合',
    }
    assert "集合" in text


def test_stack_comes_last() -> None:
    try:
        raise OSError("gone")
    except OSError as error:
        text = line("failed", "ERROR", error=error, after=1)
    assert list(json.loads(text))[-3:] == ["error", "after", "stack"]
    assert json.loads(text)["stack"].startswith("Traceback")


ANY_TEXT = st.text(st.characters(exclude_categories=()))
ANY_VALUE = ANY_TEXT | st.binary() | st.integers() | st.floats() | st.lists(ANY_TEXT, max_size=3)


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=3))
def test_a_line_is_one_json_object_in_utf8(message: str, fields: dict[str, object]) -> None:
    text = encode_json(Entry(AT, "INFO", "a/b.py:1", message, fields))
    assert len(text.splitlines()) == 1
    read = json.loads(text.encode("utf-8"))
    if "message" not in fields and not any(0xD800 <= ord(char) <= 0xDFFF for char in message):
        assert read["message"] == message
