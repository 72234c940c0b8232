"""Names of the queue's channels: physical ones (topics), and virtual ones that share them."""

from __future__ import annotations

from typing import Final

CHANNELS_MAX: Final = 65536
"""Of a pool: the most that `rootCoord.dmlChannelNum` may say."""

_DIGITS_MAX: Final = len(str(CHANNELS_MAX))


def physical_channel(prefix: str, index: int) -> str:
    """`by-dev-rootcoord-dml_3`; `prefix` is `<cluster>-<rootCoordDml>`."""
    return f"{prefix}_{index}"


def virtual_channel(physical: str, collection_id: int, index: int) -> str:
    """`by-dev-rootcoord-dml_3_470656566506815847v0`."""
    return f"{physical}_{collection_id}v{index}"


def channel_index(physical: str) -> int | None:
    """The number after the last underscore, None when no pool has it (Go 2.2.16 panics)."""
    digits = physical.rpartition("_")[2]
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX:
        return None
    index = int(digits)
    return index if index < CHANNELS_MAX else None
