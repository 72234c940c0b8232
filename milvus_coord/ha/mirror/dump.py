"""What a mirror holds, as a digest and as lines, and what etcd itself comes to at a revision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.mirror import records
from milvus_coord.ha.mirror.image import Mirrored, read_image
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.model.errors import CoordError

_SLICE_RECORDS: Final = 100
"""After so many records the event loop gets its turn: about a millisecond."""

REST: Final = 50.0
"""So many times as long as a digest took none is made for those who may not be trusted: 2 %."""


class NotSynced(CoordError):
    """The mirror is being read, for the first time or anew: what it holds says nothing."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a mirror comes to.

    Attributes:
        revision: of etcd: all that was done to the prefixes up to here is in it.
        changed: the image is the same since this revision.
        keys: how many keys of etcd it is made of.
        digest: `records.Sum` of its records; equal for equal images of the same format.
        format: `Mirrored.format`; "" from a version that does not tell.
        wrong: what `Image.check` says.
    """

    revision: int
    changed: int
    keys: int
    digest: str
    format: str
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dump:
    """A digest, and what it is the digest of: all records in UTF-8, each with a newline."""

    digest: Digest
    lines: bytes


class MirrorDump:
    """Reads one mirror in slices, as it is at one moment; one reading at a time.

    Args:
        now_s: a clock that never goes back, in seconds.
    """

    def __init__(self, mirror: Mirror[Any], now_s: Callable[[], float] = time.monotonic) -> None:
        self._mirror, self._now_s = mirror, now_s
        self._reading = asyncio.Lock()
        self._last: Digest | None = None
        self._rests_until_s = 0.0

    async def digest(self, *, fresh: bool = True) -> Digest:
        """Costs about a second of computing for 10,000 collections.

        Unless it is to be `fresh` the last one is good enough, until `REST` times as long has
        passed as that took: it is of an earlier revision then. Raises NotSynced.
        """
        async with self._reading:
            if not fresh and self._last is not None and self._now_s() < self._rests_until_s:
                return self._last
            return await self._read(lambda _: None)

    async def dump(self) -> Dump:
        """The lines, too: 16 MB for 10,000 collections. Raises NotSynced."""
        chunks: list[bytes] = []
        async with self._reading:
            digest = await self._read(chunks.append)
        return Dump(digest, b"".join(chunks))

    async def _read(self, take: Callable[[bytes], None]) -> Digest:
        mirror, began_s = self._mirror, self._now_s()
        if not mirror.synced:
            raise NotSynced(f"{mirror!r} is being read")
        wrong = tuple(mirror.image.check())
        await asyncio.sleep(0)
        revision, changed, keys = mirror.revision, mirror.changed, mirror.keys
        total = await _sum(mirror.image.records(), take)
        self._last = Digest(revision, changed, keys, total, mirror.mirrored.format, wrong)
        self._rests_until_s = self._now_s() + REST * (self._now_s() - began_s)
        return self._last


async def from_etcd(etcd: Etcd, mirrored: Mirrored[Any], revision: int) -> Dump:
    """What a mirror must hold at `revision`, read anew. Raises Compacted."""
    found = await read_image(etcd, mirrored, revision)
    chunks: list[bytes] = []
    total = await _sum(found.image.records(), chunks.append)
    digest = Digest(revision, revision, found.keys, total, mirrored.format)
    return Dump(digest, b"".join(chunks))


async def _sum(found: Iterator[object], take: Callable[[bytes], None]) -> str:
    total = records.Sum()
    for index, record in enumerate(found, 1):
        text = f"{records.line(record)}\n".encode()
        total.add(text)
        take(text)
        if index % _SLICE_RECORDS == 0:
            await asyncio.sleep(0)
    return str(total)
