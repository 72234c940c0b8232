"""Hybrid timestamps: Unix milliseconds and a logical counter in one 64-bit number."""

from __future__ import annotations

from typing import Final, NewType

Timestamp = NewType("Timestamp", int)

LOGICAL_BITS: Final = 18
LOGICAL_MAX: Final = 1 << LOGICAL_BITS


def compose(physical_ms: int, logical: int) -> Timestamp:
    """The timestamp of Unix millisecond `physical_ms` and counter `logical`.

    A counter of `LOGICAL_MAX` or more carries into the milliseconds, as ids do in Go 2.2.16.
    """
    return Timestamp((physical_ms << LOGICAL_BITS) + logical)


def physical_ms(timestamp: Timestamp) -> int:
    """The Unix milliseconds of `timestamp`."""
    return timestamp >> LOGICAL_BITS


def logical(timestamp: Timestamp) -> int:
    """The counter of `timestamp`, 0 .. LOGICAL_MAX - 1."""
    return timestamp & (LOGICAL_MAX - 1)
