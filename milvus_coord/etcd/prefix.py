"""The end of the range of all keys that begin with a prefix."""

from __future__ import annotations

from typing import Final

ALL_KEYS_END: Final = b"\x00"
"""etcd's word for "no end": with start b"\\x00" or any key, up to the last key there is."""


def range_end(prefix: bytes) -> bytes:
    """The smallest key above all keys that begin with `prefix`; for b"a" it is b"b".

    A prefix of nothing but 0xff bytes, or none, has no such key: the range is open.
    """
    head = prefix.rstrip(b"\xff")
    if not head:
        return ALL_KEYS_END
    return head[:-1] + bytes((head[-1] + 1,))


def range_start(prefix: bytes) -> bytes:
    """The first key that can begin with `prefix`; etcd refuses an empty one."""
    return prefix or b"\x00"
