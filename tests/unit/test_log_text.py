"""The text format, against lines of the Go coordinators and rule by rule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, IntEnum, StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.telemetry.logformat import Entry, encode_text
from milvus_coord.telemetry.logvalues import duration, number, when

AT = datetime(2026, 11, 23, 5, 38, 37, 301_999, UTC)
HEAD = "[2026/11/23 05:38:37.301 +00:00] [INFO] [ha/standby.py:49]"


class Code(IntEnum):
    StandBy = 3


class Plain(Enum):
    ONE = 1


class Word(StrEnum):
    ACTIVE = "active"


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no voice")


def line(message: str, level: str = "INFO", /, **fields: object) -> str:
    return encode_text(Entry(AT, level, "ha/standby.py:49", message, fields))


def shown(value: object) -> str:
    text = line("m", k=value)
    assert text.startswith(f"{HEAD} [m] [k=")
    assert text.endswith("]")
    return text[len(f"{HEAD} [m] [k=") : -1]


GO_SESSION = (
    '{"ServerID":1,"ServerName":"rootcoord","Address":"10.0.0.2:53100",'
    '"Exclusive":true,"TriggerKill":true,"Version":"2.2.16"}'
)


@pytest.mark.parametrize(
    ("message", "fields", "tail"),
    [
        (
            "serverName: rootcoord is in STANDBY ...",
            {},
            '["serverName: rootcoord is in STANDBY ..."]',
        ),
        (
            "register ACTIVE service successfully",
            {"ServerID": 19},
            '["register ACTIVE service successfully"] [ServerID=19]',
        ),
        (
            "put session key into etcd",
            {"key": "by-dev/meta/session/rootcoord-1", "value": GO_SESSION},
            r'["put session key into etcd"] [key=by-dev/meta/session/rootcoord-1] '
            r'[value="{\"ServerID\":1,\"ServerName\":\"rootcoord\",\"Address\":'
            r"\"10.0.0.2:53100\",\"Exclusive\":true,\"TriggerKill\":true,"
            r'\"Version\":\"2.2.16\"}"]',
        ),
        (
            "sync and save timestamp",
            {"last": datetime.min.replace(tzinfo=UTC), "next": AT},
            '["sync and save timestamp"] [last=0001/01/01 00:00:00.000 +00:00] '
            "[next=2026/11/23 05:38:37.301 +00:00]",
        ),
        (
            "fail to get the session key from the etcd",
            {"error": None},
            '["fail to get the session key from the etcd"] []',
        ),
        (
            "WatchService",
            {"event type": "SessionAddEvent"},
            '[WatchService] ["event type"=SessionAddEvent]',
        ),
    ],
)
def test_lines_as_go_prints_them(message: str, fields: Mapping[str, object], tail: str) -> None:
    assert line(message, **fields) == f"{HEAD} {tail}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain-word_1.2:3/4", "plain-word_1.2:3/4"),
        ("", ""),
        ("a b", '"a b"'),
        ("a=b", '"a=b"'),
        ("[a", '"[a"'),
        ("a]", '"a]"'),
        ('say "x"', r'"say \"x\""'),
        ("back\\slash", r'"back\\slash"'),
        ("l1\nl2\r\tz", r'"l1\nl2\r\tz"'),
        ("\x00\x1b[0m", r'"\u0000\u001b[0m"'),
        ("größe", "größe"),
        ("集合", "集合"),
        ("del\x7f", r"del\u007f"),
        ("a\u2028b\x85c", r"a\u2028b\u0085c"),
        ("half \udc80", r'"half \ufffd"'),
        (b"by-dev/meta", "by-dev/meta"),
        (b"\xffx", r"\ufffdx"),
        (440000000000000001, "440000000000000001"),
        (-1, "-1"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (1.5, "1.5"),
        (2.0, "2"),
        (1e22, "10000000000000000000000"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Inf"),
        (timedelta(minutes=10), "10m0s"),
        (AT, "2026/11/23 05:38:37.301 +00:00"),
        (Code.StandBy, "StandBy"),
        (Plain.ONE, "ONE"),
        (Word.ACTIVE, "active"),
        (["by-dev-rootcoord-dml_0", "b"], '"[by-dev-rootcoord-dml_0,b]"'),
        ([1, 2], '"[1,2]"'),
        (("a b", 1), r'"[\"a b\",1]"'),
        ([], '"[]"'),
        ({"a": 1, "b": ["x", None]}, r'"{\"a\":1,\"b\":[\"x\",null]}"'),
        ({1: AT}, r'"{\"1\":\"2026/11/23 05:38:37.301 +00:00\"}"'),
        (ValueError("no such key"), '"no such key"'),
        (KeyError("k"), "\"KeyError: 'k'\""),
        (TimeoutError(), "TimeoutError"),
        (
            ExceptionGroup("two", [ValueError("a"), ExceptionGroup("in", [OSError("b")])]),
            '"two: a; in: b"',
        ),
        (Mute(), '"<Mute: str failed with RuntimeError>"'),
    ],
)
def test_value(value: object, text: str) -> None:
    assert shown(value) == text


def test_structures_that_contain_themselves_end() -> None:
    ring: list[object] = []
    ring.append(ring)
    loop: dict[str, object] = {}
    loop["loop"] = loop
    assert "..." in shown(ring)
    assert "..." in shown(loop)


def test_empty_message_has_no_group() -> None:
    assert line("", k=1) == f"{HEAD} [k=1]"


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(microseconds=7), "7µs"),
        (timedelta(microseconds=1500), "1.5ms"),
        (timedelta(milliseconds=250), "250ms"),
        (timedelta(seconds=1, microseconds=50), "1.00005s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(hours=1), "1h0m0s"),
        (timedelta(days=2, seconds=1, milliseconds=500), "48h0m1.5s"),
        (timedelta(seconds=-20), "-20s"),
    ],
)
def test_duration(span: timedelta, text: str) -> None:
    assert duration(span) == text


def test_times_keep_their_offset() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    west = timezone(-timedelta(hours=3, minutes=30))
    assert when(AT.astimezone(east)) == "2026/11/23 11:08:37.301 +05:30"
    assert when(AT.astimezone(west)) == "2026/11/23 02:08:37.301 -03:30"
    naive = AT.astimezone().replace(tzinfo=None)
    assert when(naive) == when(AT.astimezone())


def boom() -> Exception:
    try:
        raise ValueError("bad thing")
    except ValueError as error:
        return error


def test_error_and_above_carry_the_stack_of_an_attached_exception() -> None:
    error = boom()
    text = line("failed", "ERROR", collectionID=7, error=error)
    assert '[failed] [collectionID=7] [error="bad thing"] [stack="Traceback' in text
    assert r"in boom\n" in text
    assert text.endswith(r'ValueError: bad thing"]')
    assert "[stack=" in line("failed", "FATAL", error=error)
    assert "[stack=" not in line("failed", "WARN", error=error)
    assert "[stack=" not in line("failed", "ERROR", reason="x")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back(value: float) -> None:
    assert float(number(value)) == value
    assert "e" not in number(value)


NASTY = '\x00\n\r\x7f\x85\u2028\\"[]= é'
ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.text(NASTY)
ANY_VALUE = st.recursive(
    ANY_TEXT | st.binary() | st.integers() | st.floats() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=3))
def test_a_line_is_one_line_of_valid_utf8(message: str, fields: dict[str, object]) -> None:
    text = encode_text(Entry(AT, "INFO", "ha/standby.py:49", message, fields))
    assert text.encode("utf-8").decode() == text
    assert len(text.splitlines()) == 1
    assert not [char for char in text if ord(char) < 0x20 or 0x7F <= ord(char) <= 0x9F]


@given(ANY_TEXT.filter(lambda text: not any(0xD800 <= ord(char) <= 0xDFFF for char in text)))
def test_quoting_loses_nothing(value: str) -> None:
    text = shown(value)
    inner = text[1:-1] if text.startswith('"') else text
    plain = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
    out, at = "", 0
    while at < len(inner):
        if inner[at] != "\\":
            out, at = out + inner[at], at + 1
        elif inner[at + 1] == "u":
            out, at = out + chr(int(inner[at + 2 : at + 6], 16)), at + 6
        else:
            out, at = out + plain[inner[at + 1]], at + 2
    assert out == value
