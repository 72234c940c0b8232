"""Replies to DescribeCollection, kept as long as what they tell has not changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from milvus_coord.coordinators.rootcoord.collections.rpcs_replies import (
    describe_any_database,
    in_database,
)
from milvus_coord.model.collection import Collection, Partition
from milvus_coord.pb.milvus.proto.milvus import DescribeCollectionResponse

_BYTES_MAX: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class _Entry:
    collection: Collection
    partitions: tuple[Partition, ...]
    aliases: tuple[str, ...]
    reply: DescribeCollectionResponse


class DescribeCache:
    """Encodes each collection once; holds about `bytes_max` of replies, the oldest go first.

    Nobody has to say what changed: a reply is used again only for the very objects that it was made
    from, which are immutable, and for equal aliases.
    """

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._entries: dict[tuple[int, bool], _Entry] = {}
        self.bytes_held = 0

    def reply(
        self,
        collection: Collection,
        partitions: tuple[Partition, ...],
        aliases: tuple[str, ...],
        db_name: str,
        *,
        count_all: bool = False,
    ) -> DescribeCollectionResponse:
        """The reply about `collection`, all of whose partitions are given.

        Those that users see are counted, or every one.
        """
        key = (collection.id, count_all)
        entry = self._entries.get(key)
        if (
            entry is None
            or entry.collection is not collection
            or entry.partitions is not partitions
            or entry.aliases != aliases
        ):
            count = sum(count_all or partition.available for partition in partitions)
            common = describe_any_database(collection, aliases=aliases, num_partitions=count)
            entry = _Entry(collection, partitions, aliases, common)
            self._keep(key, entry)
        return in_database(entry.reply, db_name)

    def _keep(self, key: tuple[int, bool], entry: _Entry) -> None:
        self._forget(key)
        self._entries[key] = entry
        self.bytes_held += _size(entry)
        while self.bytes_held > self._bytes_max:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: tuple[int, bool]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes_held -= _size(entry)


def _size(entry: _Entry) -> int:
    return len(cast(bytes, entry.reply))
