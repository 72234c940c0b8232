"""One log line as Milvus writes it: PingCAP's bracketed text format, or JSON."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from milvus_coord.model.redaction import without_logins
from milvus_coord.telemetry.logvalues import (
    error_text,
    escape,
    json_value,
    quote,
    text_value,
    to_json,
    when,
)

STACK_LEVELS: Final = frozenset({"ERROR", "FATAL"})


class Entry(NamedTuple):
    """What one line tells.

    `level` is DEBUG, INFO, WARN, ERROR or FATAL; `caller` is `dir/file.py:line`; `time` is aware.
    """

    time: datetime
    level: str
    caller: str
    message: str
    fields: Mapping[str, object]


def encode_text(entry: Entry) -> str:
    """`[time] [LEVEL] [caller] [message] [key=value]...`, without the line end and without logins.

    An exception among the fields prints its text; at ERROR and above its traceback follows as
    `[stack="..."]`. A field `error` of None prints `[]`, an empty message nothing, as Go does.
    """
    parts = [when(entry.time), entry.level, entry.caller]
    if entry.message:
        parts.append(quote(entry.message))
    for key, value in entry.fields.items():
        if value is None and key == "error":
            parts.append("")
        else:
            parts.append(f"{quote(key)}={text_value(value)}")
    stack = _stack(entry)
    if stack:
        parts.append(f"stack={quote(stack)}")
    return without_logins("[" + "] [".join(parts) + "]")


def encode_json(entry: Entry) -> str:
    """One JSON object, without the line end and without logins.

    Its keys are level, time, caller, message, the fields, stack.

    A field named like one of the first four repeats its key, as Go does; parsers take the last.
    """
    pairs: list[tuple[str, object]] = [
        ("level", entry.level),
        ("time", when(entry.time)),
        ("caller", entry.caller),
        ("message", entry.message),
    ]
    for key, value in entry.fields.items():
        if value is None and key == "error":
            continue
        pairs.append((key, json_value(value)))
    stack = _stack(entry)
    if stack:
        pairs.append(("stack", stack))
    body = ",".join([f"{to_json(key)}:{to_json(value)}" for key, value in pairs])
    return without_logins("{" + escape(body, quotes=False) + "}")


def _stack(entry: Entry) -> str:
    if entry.level not in STACK_LEVELS:
        return ""
    for value in entry.fields.values():
        if isinstance(value, BaseException):
            try:
                return "".join(traceback.format_exception(value)).rstrip("\n")
            except Exception as broken:
                return f"{type(value).__name__} (no traceback: {error_text(broken)})"
    return ""
