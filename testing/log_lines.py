"""What was logged, for tests that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from milvus_coord.telemetry.log import pipeline
from milvus_coord.telemetry.logformat import Entry, encode_text
from milvus_coord.telemetry.logsinks import StdoutSink


@contextmanager
def log_lines() -> Iterator[list[Entry]]:
    """Collect all that is logged inside, DEBUG included; standard output gets none of it."""
    lines: list[Entry] = []

    def collect(entry: Entry) -> str:
        lines.append(entry)
        return ""

    pipeline.switch(collect, ())
    try:
        yield lines
    finally:
        pipeline.switch(encode_text, (StdoutSink(),))
