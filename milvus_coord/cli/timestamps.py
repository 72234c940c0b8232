"""`milvus ts TIMESTAMP ...`: what Milvus' hybrid timestamps say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from milvus_coord.cli.output import rendered
from milvus_coord.cli.table import table
from milvus_coord.model.timestamps import Timestamp, logical, physical_ms

_HEAD: Final = ("TIMESTAMP", "UTC", "LOCAL", "UNIX_MS", "LOGICAL")


def decoded(timestamp: int) -> dict[str, Any]:
    """`timestamp`, `utc`, `local`, `unix_ms`, `logical`; times in ISO 8601."""
    unix_ms = physical_ms(Timestamp(timestamp))
    return {
        "timestamp": timestamp,
        "utc": _iso(unix_ms, UTC),
        "local": _iso(unix_ms, None),
        "unix_ms": unix_ms,
        "logical": logical(Timestamp(timestamp)),
    }


def _iso(unix_ms: int, zone: tzinfo | None) -> str:
    at = datetime.fromtimestamp(unix_ms // 1000, UTC).astimezone(zone)
    return at.replace(microsecond=unix_ms % 1000 * 1000).isoformat(timespec="milliseconds")


def show(timestamps: Sequence[int], output: str) -> str:
    """A line for each."""
    facts = [decoded(each) for each in timestamps]
    rows = [[str(one) for one in each.values()] for each in facts]
    lines = table(_HEAD, rows, right="TIMESTAMP UNIX_MS LOGICAL")
    return rendered({"timestamps": facts}, output, "\n".join(lines) + "\n")
