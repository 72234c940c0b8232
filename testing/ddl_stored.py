"""RootCoord's metadata as etcd has it, read without any code of the product, and what must hold."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import KeyValue
from testing.messages import message_class

ROOT: Final = "by-dev/meta/"
CREATED, CREATING, DROPPING = 0, 1, 2
_TOMBSTONE: Final = b"\xe2\x9b\xbc"
_UNVERSIONED: Final = ("root-coord/credential/", "root-coord/ha/")  # marks of former versions
_VERSION: Final = re.compile(r"snapshots/(.+)_ts(\d+)", re.DOTALL)
_CLEAN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Version:
    """What a key was from the timestamp on."""

    ts: int
    kv: KeyValue


class Stored:
    """All keys as of one revision.

    Attributes:
        collections, partitions, fields, aliases: the messages that are there: by collection id;
            by collection id, then partition or field id; by alias.
        last_written: the last revision that changed any of the keys.
    """

    def __init__(self, plain: Iterable[KeyValue], versions: Iterable[KeyValue]) -> None:
        self._plain = {_name(kv): kv for kv in plain}
        self._versions: dict[str, list[Version]] = defaultdict(list)
        for kv in versions:
            match = _VERSION.fullmatch(_name(kv))
            assert match, f"no version: {kv}"
            self._versions[match[1]].append(Version(int(match[2]), kv))
        self.last_written = max(
            kv.mod_revision
            for kv in [
                *self._plain.values(),
                *(version.kv for of in self._versions.values() for version in of),
            ]
        )
        self.collections = {one.ID: one for one in self._there("database/collection-info")}
        self.aliases = {one.alias_name: one for one in self._there("database/aliases")}
        self.partitions = self._of_collections("partitions", "etcd.PartitionInfo")
        self.fields = self._of_collections("fields", "schema.FieldSchema")

    @classmethod
    async def read(cls, etcd: Etcd) -> Stored:
        plain = await etcd.range(f"{ROOT}root-coord/".encode())
        versions = await etcd.range(f"{ROOT}snapshots/".encode(), revision=plain.revision)
        return cls(plain.kvs, versions.kvs)

    @classmethod
    async def clean(cls, etcd: Etcd, *, dropping: bool = True) -> Stored:
        """As soon as nothing is half done any more; `dropping` collections may stay."""
        stored = await cls.read(etcd)
        try:
            async with asyncio.timeout(_CLEAN_S):
                while any(stored.half_done(dropping=dropping)):
                    await asyncio.sleep(0.05)
                    stored = await cls.read(etcd)
        except TimeoutError:
            raise AssertionError(list(stored.half_done(dropping=dropping))[:20]) from None
        stored.check()
        return stored

    def check(self) -> None:
        """Each plain key and the newest of its versions are one write, of the same bytes."""
        versioned = {name for name in self._plain if not name.startswith(_UNVERSIONED)}
        assert versioned == self._versions.keys(), versioned ^ self._versions.keys()
        assert versioned, "there is nothing"
        for name in versioned:
            plain, by_ts = self._plain[name], sorted(self._versions[name], key=lambda one: one.ts)
            newest = by_ts[-1].kv
            assert (plain.value, plain.mod_revision) == (newest.value, newest.mod_revision), name
            revisions = [version.kv.mod_revision for version in by_ts]
            assert revisions == sorted(revisions), f"{name}: {by_ts} were not written in this order"

    def half_done(self, *, dropping: bool = True) -> Iterator[str]:
        """What a statement or a clean-up that was cut off has left, in words."""
        for id_, record in self.collections.items():
            if record.state == CREATING or (record.state != CREATED and not dropping):
                yield f"collection {id_} {record.schema.name} has state {record.state}"
        for what, of in (("partition", self.partitions), ("field", self.fields)):
            for collection_id, parts in of.items():
                if collection_id not in self.collections:
                    yield f"collection {collection_id} is not there, but {what}s {list(parts)}"
        for alias in self.aliases.values():
            if alias.collection_id not in self.collections:
                yield f"alias {alias.alias_name} is of {alias.collection_id}, which is not there"

    def visible(self) -> dict[str, Any]:
        """The records of the collections that users see, by name."""
        seen = [one for one in self.collections.values() if one.state == CREATED]
        by_name = {one.schema.name: one for one in seen}
        assert len(by_name) == len(seen), f"a name twice: {sorted(one.schema.name for one in seen)}"
        return by_name

    def _there(self, room: str) -> Iterator[Any]:
        kind = "etcd.AliasInfo" if room.endswith("aliases") else "etcd.CollectionInfo"
        for name, kv in self._plain.items():
            if name.startswith(f"root-coord/{room}/") and kv.value != _TOMBSTONE:
                yield message_class(kind).FromString(kv.value)

    def _of_collections(self, room: str, kind: str) -> dict[int, dict[int, Any]]:
        found: dict[int, dict[int, Any]] = defaultdict(dict)
        for name, kv in self._plain.items():
            if name.startswith(f"root-coord/{room}/") and kv.value != _TOMBSTONE:
                collection_id, id_ = map(int, name.split("/")[2:])
                found[collection_id][id_] = message_class(kind).FromString(kv.value)
        return found


def _name(kv: KeyValue) -> str:
    return kv.key.decode().removeprefix(ROOT)
