"""What a mirror holds, as a digest and as lines, and what etcd itself comes to at a revision."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.mirror.mirror import Image, Mirror, make, split
from milvus_coord.model.errors import CoordError

_SLICE_LINES: Final = 100
"""After so many lines the event loop gets its turn: about a millisecond."""


class NotSynced(CoordError):
    """The mirror is being read, for the first time or anew: what it holds says nothing."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a mirror comes to.

    Attributes:
        revision: of etcd: all that was done to the prefix up to here is in it.
        changed: the image is the same since this revision.
        keys: how many keys of etcd it is made of.
        digest: SHA-256 of its lines, each with a newline, in hex; equal for equal images.
    """

    revision: int
    changed: int
    keys: int
    digest: str


@dataclass(frozen=True, slots=True)
class Dump:
    """A digest, and what it is the digest of: all lines in UTF-8, each with a newline."""

    digest: Digest
    lines: bytes


class MirrorDump:
    """Reads one mirror in slices, as it is at one moment; one reading at a time."""

    def __init__(self, mirror: Mirror[Any]) -> None:
        self._mirror = mirror
        self._reading = asyncio.Lock()

    async def digest(self) -> Digest:
        """Costs about a second of computing for 10,000 collections. Raises NotSynced."""
        return await self._read(lambda _: None)

    async def dump(self) -> Dump:
        """The lines, too: 16 MB for 10,000 collections. Raises NotSynced."""
        chunks: list[bytes] = []
        digest = await self._read(chunks.append)
        return Dump(digest, b"".join(chunks))

    async def _read(self, take: Callable[[bytes], None]) -> Digest:
        async with self._reading:
            mirror = self._mirror
            if not mirror.synced:
                raise NotSynced(f"{mirror!r} is being read")
            revision, changed, keys = mirror.revision, mirror.changed, mirror.keys
            digest = await _digest(mirror.image.lines(), take)
            return Digest(revision, changed, keys, digest)


async def from_etcd(
    etcd: Etcd, prefix: bytes, new_image: Callable[[], Image], revision: int
) -> Dump:
    """What a mirror of `prefix` must hold at `revision`, read anew. Raises Compacted."""
    found = await etcd.range(prefix, revision=revision)
    theirs, _ = split(prefix, found.kvs)
    image = await make(new_image, theirs)
    chunks: list[bytes] = []
    digest = await _digest(image.lines(), chunks.append)
    return Dump(Digest(revision, revision, len(theirs), digest), b"".join(chunks))


async def _digest(lines: Iterator[str], take: Callable[[bytes], None]) -> str:
    found = hashlib.sha256()
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _SLICE_LINES:
            _flush(chunk, found.update, take)
            await asyncio.sleep(0)
    _flush(chunk, found.update, take)
    return found.hexdigest()


def _flush(chunk: list[str], *takers: Callable[[bytes], None]) -> None:
    data = "".join(f"{line}\n" for line in chunk).encode()
    chunk.clear()
    for take in takers:
        take(data)
