"""The stored bound of an allocator: everything handed out lies below it."""

from __future__ import annotations

from typing import Final, Protocol

from milvus_coord.model.errors import BadValue

_VALUE_BYTES: Final = 8
BOUND_MAX_NS: Final = 2**63 - 1
"""In the year 2262; Go reads larger ones as negative, which is before all clocks."""


class Window(Protocol):
    """Where an allocator keeps its bound; the bound is Unix nanoseconds."""

    async def save(self, bound_ns: int) -> None:
        """Store `bound_ns` under the fence. Raises FencedOff, or the store's error."""


def encode(bound_ns: int) -> bytes:
    """8 bytes, big-endian (Go 2.2.16's format of `tso/timestamp` and `gid/idTimestamp`).

    Raises BadValue when the range of a bound is used up.
    """
    if not 0 <= bound_ns <= BOUND_MAX_NS:
        raise BadValue(f"no bound can be {bound_ns} ns: the range ends at {BOUND_MAX_NS}")
    return bound_ns.to_bytes(_VALUE_BYTES, "big")


def decode(key: str, value: bytes | None) -> int:
    """The bound in `value`; 0 when the key is absent or empty, or holds what no allocator writes.

    A bound above BOUND_MAX_NS is negative to Go 2.2.16, which goes on from its clock.

    Go 2.2.16 also takes a value that it failed to read for zero, and so can go back in time;
    here only a key that is really absent counts as new. Raises BadValue for another length.
    """
    if not value:
        return 0
    if len(value) != _VALUE_BYTES:
        raise BadValue(f"{key} holds {value!r}: a bound is 8 bytes of big-endian nanoseconds")
    bound_ns = int.from_bytes(value, "big")
    return bound_ns if bound_ns <= BOUND_MAX_NS else 0
