"""The versioned store of Go 2.2.16: every key has its latest value, and one for each timestamp.

The plain key `root-coord/...` is what single reads of Go take, `snapshots/root-coord/..._ts<ts>`
what it starts from. Neither is ever deleted by a statement: what is gone has the tombstone in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from milvus_coord.etcd.txn import Op, Put
from milvus_coord.etcd.values import KeyValue
from milvus_coord.model.timestamps import Timestamp

TOMBSTONE: Final = b"\xe2\x9b\xbc"

_TS: Final = b"_ts"
_VERSION: Final = re.compile(rb"(.+)_ts([0-9]{1,20})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Version:
    """One value of a logical key, which is relative to the meta root; `kv` is how etcd has it."""

    key: bytes
    ts: Timestamp
    kv: KeyValue

    @property
    def dead(self) -> bool:
        """Whether the key was gone from `ts` on."""
        return self.kv.value == TOMBSTONE


class SnapshotKeys:
    """Writes logical keys, which are relative to `meta_root`, as two keys of etcd each."""

    def __init__(self, meta_root: str) -> None:
        self._root = f"{meta_root}/".encode()
        self._snapshots = self._root + b"snapshots/"

    def put(self, key: str, value: bytes, ts: Timestamp) -> tuple[Op, Op]:
        """Both puts, for one transaction.

        `ts` comes from the oracle and is not below that of the key's last write: with a smaller one
        Go would leave the plain key alone. An equal one replaces the version.
        """
        if ts <= 0:
            raise ValueError(f"{key} cannot be written at timestamp {ts}")
        return Put(self.plain(key.encode()), value), Put(self.version(key, ts), value)

    def drop(self, key: str, ts: Timestamp) -> tuple[Op, Op]:
        """The tombstone, twice."""
        return self.put(key, TOMBSTONE, ts)

    def plain(self, key: bytes) -> bytes:
        """The key of the latest value."""
        return self._root + key

    def version(self, key: str, ts: Timestamp) -> bytes:
        """The key of the value at `ts`."""
        return self.versions(key.encode()) + b"%d" % ts

    def versions(self, key: bytes) -> bytes:
        """Where the keys of all versions begin; those of `<key>_ts1` begin so, too."""
        return self._snapshots + key + _TS

    def below(self, prefix: bytes) -> bytes:
        """Where the versions of all keys below a prefix begin."""
        return self._snapshots + prefix

    def parse(self, kv: KeyValue) -> Version | None:
        """What version this is: the last `_ts` counts. None for a key that is no version."""
        match = _VERSION.fullmatch(kv.key, len(self._snapshots))
        if match is None or not kv.key.startswith(self._snapshots):
            return None
        return Version(match[1], Timestamp(int(match[2])), kv)


def at(versions: Iterable[Version], ts: Timestamp) -> Version | None:
    """The version of one key that holds at `ts`; None when there is none yet, or it is dead."""
    known = [version for version in versions if version.ts <= ts]
    latest = max(known, key=lambda version: version.ts, default=None)
    return None if latest is None or latest.dead else latest
