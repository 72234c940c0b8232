"""Numbers as protobuf writes them."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """`number`, which is 0 or more, in seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
