"""The keys of the allocators' stored bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from milvus_coord.allocator import window
from milvus_coord.etcd.txn import Op, put
from milvus_coord.etcd.values import KeyValue

_TIMESTAMPS: Final = "tso/timestamp"
_IDS: Final = "gid/idTimestamp"


@dataclass(frozen=True, slots=True)
class BoundKeys:
    """The keys of the allocators' bounds below `kv_root` (`etcd.rootPath/etcd.kvSubPath`)."""

    kv_root: str

    @property
    def timestamps(self) -> bytes:
        """Bound of the timestamp oracle."""
        return f"{self.kv_root}/{_TIMESTAMPS}".encode()

    @property
    def ids(self) -> bytes:
        """Bound of the ids."""
        return f"{self.kv_root}/{_IDS}".encode()


def load(key: bytes, stored: KeyValue | None) -> int:
    """A bound in Unix nanoseconds, 0 when none was ever stored. Raises BadValue."""
    return window.decode(key.decode(), stored.value if stored else None)


def save(key: bytes, bound_ns: int) -> Op:
    """Store one bound."""
    return put(key, window.encode(bound_ns))
