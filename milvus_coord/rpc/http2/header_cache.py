"""Request headers in HPACK, made once: our calls differ in nothing but method and timeout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LITERAL: Final = b"\x00"  # without indexing, with a new name
_EMPTY_TABLE: Final = b"\x20"  # the dynamic table has size 0 from here on
_TABLE_BYTES: Final = 4096
_BLOCKS_MAX: Final = 512


class LiteralEncoder:
    """Stands in for hpack's Encoder in an H2Connection.

    It uses no dynamic table, so that equal headers always make equal bytes, and these are kept:
    hpack takes a sixth of the time of a call.
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[tuple[bytes, bytes], ...], bytes] = {}
        self._table_bytes = _TABLE_BYTES
        self._update = b""

    @property
    def header_table_size(self) -> int:
        """What the peer allows; a smaller table than before must be acknowledged in the next."""
        return self._table_bytes

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        if size < self._table_bytes:
            self._update = _EMPTY_TABLE
        self._table_bytes = size

    def encode(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The header block."""
        key = tuple(headers)
        block = self._blocks.get(key)
        if block is None:
            block = b"".join(_LITERAL + _string(name) + _string(value) for name, value in key)
            if len(self._blocks) < _BLOCKS_MAX:
                self._blocks[key] = block
        if self._update:
            block, self._update = self._update + block, b""
        return block


def _string(text: bytes) -> bytes:
    """Without Huffman coding; the length is an integer with a prefix of seven bits."""
    size = len(text)
    if size < 0x7F:
        return bytes((size,)) + text
    octets, left = bytearray((0x7F,)), size - 0x7F
    while left >= 0x80:
        octets.append(left & 0x7F | 0x80)
        left >>= 7
    octets.append(left)
    return bytes(octets) + text
