"""The time tick that is put into the queue, byte for byte as Go 2.2.16 writes it."""

from __future__ import annotations

from typing import Final

from milvus_coord.model.timestamps import Timestamp
from milvus_coord.wire.varint import varint

_TICK_TYPE: Final = b"\x08\xb0\x09"  # MsgType 1200
_UINT64_MAX: Final = (1 << 64) - 1


def time_tick(ts: Timestamp, source_id: int) -> bytes:
    """`internal.TimeTickMsg`, written by hand: there are some hundred a second."""
    base = _TICK_TYPE
    if ts:
        base += b"\x18" + varint(ts)
    if source_id:
        base += b"\x20" + varint(source_id & _UINT64_MAX)
    return bytes((0x0A, len(base))) + base
