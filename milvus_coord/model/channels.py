"""Names of the queue's channels: physical ones (topics), and virtual ones that share them."""

from __future__ import annotations


def physical_channel(prefix: str, index: int) -> str:
    """`by-dev-rootcoord-dml_3`; `prefix` is `<cluster>-<rootCoordDml>`."""
    return f"{prefix}_{index}"


def virtual_channel(physical: str, collection_id: int, index: int) -> str:
    """`by-dev-rootcoord-dml_3_470656566506815847v0`."""
    return f"{physical}_{collection_id}v{index}"


def channel_index(physical: str) -> int | None:
    """The number after the last underscore, None when there is none (Go 2.2.16 panics)."""
    digits = physical.rpartition("_")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None
