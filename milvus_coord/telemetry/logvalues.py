"""Single values in a log line: quoting, escaping, times, durations, errors, nested data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final

to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_DEPTH_MAX: Final = 8
_NEEDS_QUOTES: Final = re.compile(r'[\x00-\x20\\"\[\]=]')
# Go escapes bytes below 0x20 only; DEL, C1 controls and the Unicode line separators are added
# because a terminal or a line reader may act on them. A lone surrogate is not valid UTF-8.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE_OR_QUOTE: Final = re.compile('[\x00-\x1f"\\\\\x7f-\x9f\u2028\u2029\ud800-\udfff]')
_SPECIAL: Final = re.compile(f"{_NEEDS_QUOTES.pattern}|{_UNSAFE.pattern}")
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def quote(text: str) -> str:
    r"""`text` escaped, and double-quoted when a space, any of `\ " [ ] =` or a control asks."""
    if not _SPECIAL.search(text):
        return text
    if _NEEDS_QUOTES.search(text):
        return f'"{escape(text)}"'
    return escape(text)


def escape(text: str, *, quotes: bool = True) -> str:
    """`text` without raw control characters; `quotes` also escapes `"` and the backslash."""
    return (_UNSAFE_OR_QUOTE if quotes else _UNSAFE).sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return "\\ufffd"
    return _SHORT.get(char) or f"\\u{code:04x}"


def when(time: datetime) -> str:
    """`2026/11/23 05:38:37.301 +00:00`; a naive time is taken as local."""
    if time.tzinfo is None:
        time = time.astimezone()
    text = time.isoformat(" ", "milliseconds")
    return f"{text[:10].replace('-', '/')}{text[10:23]} {text[23:29]}"


def duration(span: timedelta) -> str:
    """A time span as Go prints it: `10m0s`, `1.5s`, `250ms`, `7µs`, `0s`."""
    micros = span // timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    if micros == 0:
        return "0s"
    if micros < 1_000:
        return f"{sign}{micros}µs"
    if micros < 1_000_000:
        return f"{sign}{_fraction(micros, 1_000)}ms"
    minutes, micros = divmod(micros, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_fraction(micros, 1_000_000)}s"


def _fraction(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    if not rest:
        return str(whole)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"


def number(value: float) -> str:
    """A float as Go prints it: no exponent, no trailing `.0`; NaN, +Inf, -Inf."""
    if math.isfinite(value):
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0")
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def error_text(error: BaseException) -> str:
    """What `error` says; a group says what its leaves say; a silent error says its type."""
    if isinstance(error, BaseExceptionGroup):
        return f"{error.message}: " + "; ".join(error_text(each) for each in error.exceptions)
    text = _spoken(error)
    if not text:
        return type(error).__name__
    return f"{type(error).__name__}: {text}" if isinstance(error, KeyError) else text


def text_value(value: object, depth: int = 0) -> str:
    """`value` as it stands behind `key=`.

    Strings and bytes are quoted by need, times never; numbers are raw, `None` is null, sequences
    are `[a,b]`, mappings JSON, both then quoted as one string; any other object is its `str`.
    """
    if isinstance(value, str):
        return quote(_word(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray | memoryview):
        if depth >= _DEPTH_MAX:
            return "..."
        return quote("[" + ",".join(text_value(item, depth + 1) for item in value) + "]")
    if isinstance(value, Mapping):
        return quote(to_json(json_value(value)))
    return quote(_scalar(value))


def json_value(value: object, depth: int = 0) -> object:
    """`value` in JSON's own types: the same words as in text, numbers and nesting kept."""
    if isinstance(value, str):
        return _word(value)
    if value is None or isinstance(value, bool) or type(value) is int:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _scalar(value)
    if depth >= _DEPTH_MAX:
        return "..."
    if isinstance(value, Mapping):
        return {_key(key): json_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Sequence | Set):
        return [json_value(item, depth + 1) for item in value]
    return _scalar(value)


def _key(key: object) -> str:
    return key if isinstance(key, str) else _scalar(key)


def _word(value: str) -> str:
    return str(value.value) if isinstance(value, Enum) else value


def _scalar(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return number(value)
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, BaseException):
        return error_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "surrogateescape")
    return _spoken(value)


def _spoken(value: object) -> str:
    try:
        return str(value)
    except Exception as broken:
        return f"<{type(value).__name__}: str failed with {type(broken).__name__}>"
