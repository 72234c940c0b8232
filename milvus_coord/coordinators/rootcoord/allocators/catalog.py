"""The keys of the allocators' stored bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
