"""What a role's mirror is made of, and how it is read from etcd, page by page."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Generic, Protocol, TypeVar

from milvus_coord.etcd.errors import Compacted
from milvus_coord.etcd.prefix import range_end
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.etcd.values import RangeResult

SLICE_KEYS: Final = 200
"""After so many keys the event loop gets its turn: a few milliseconds for costly images."""


class Image(Protocol):
    """What is made of the keys. `put` and `delete` take whatever bytes are there, and never raise.

    Two images of the same keys are the same, however their keys came and went. An image is in no
    reference cycle: one that another has replaced is freed by the last reference to it, because
    the garbage collector does not look through images.
    """

    def put(self, key: bytes, value: bytes) -> None:
        """The key is there with this value."""

    def delete(self, key: bytes) -> None:
        """The key is gone, or never was."""

    def records(self) -> Iterator[object]:
        """All that it holds as at this call, in any order, in values that `records.line` takes.

        The image may change while they are taken: collect references to all values before you
        return. What is derived, such as an index, is left out.
        """

    def check(self) -> list[str]:
        """What contradicts itself, a sentence each: what is derived is not what records say.

        In some tens of milliseconds: the loop is held meanwhile.
        """


I = TypeVar("I", bound=Image)  # noqa: E741 - the only name of its kind here


@dataclass(frozen=True, slots=True)
class Mirrored(Generic[I]):
    """The part of etcd that a role keeps in memory.

    Attributes:
        prefixes: what reaches the image: all keys that begin with one of them, which may lack a
            slash at the end, and of which none begins with another.
        pair: `<meta>/ha/<role>/`, where the pair's own keys lie, the mirror's mark among them.
            None of them reaches the image.
        new_image: makes an empty one.
        version: of the records; raise it when the same keys come to other records than before.
            A field that was added with a default needs no new version.
    """

    prefixes: tuple[bytes, ...]
    pair: bytes
    new_image: Callable[[], I]
    version: int = 1

    def __post_init__(self) -> None:
        for one, other in combinations((*self.prefixes, self.pair), 2):
            if one.startswith(other) or other.startswith(one):
                raise ValueError(f"{one!r} and {other!r} are not apart")

    @property
    def low(self) -> bytes:
        """The first key of the smallest range that has all of it."""
        return min(*self.prefixes, self.pair)

    @property
    def high(self) -> bytes:
        """The end of that range."""
        return max(map(range_end, (*self.prefixes, self.pair)))

    @property
    def mark_key(self) -> bytes:
        """What `Mirror.catch_up` writes."""
        return self.pair + b"mark"

    @property
    def format(self) -> str:
        """What digests are of: those of two formats do not compare."""
        return f"records.{RECORDS}.{self.version}"


RECORDS: Final = 1
"""The version of the way in which records are written; see `records`."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[I]):
    """An image as of `revision`, made of so many keys; `mark` is the mark's last revision or 0."""

    image: I
    revision: int
    keys: int
    mark: int


async def read_image(etcd: Etcd, mirrored: Mirrored[I], revision: int = 0) -> Reading[I]:
    """Read everything as of `revision`, by default as of now.

    There are never more than two pages in memory beside the image. Raises Compacted when the
    history is lost before all is read, and etcd's other errors.
    """
    version = etcd.replaced.version()
    mark = await etcd.get(mirrored.mark_key)
    revision = revision or mark.revision
    image, keys = mirrored.new_image(), 0
    for prefix in mirrored.prefixes:
        async with aclosing(etcd.pages(prefix, range_end(prefix), revision=revision)) as pages:
            async for page in pages:
                await _put(image, page)
                keys += len(page.kvs)
    if etcd.replaced.version() != version:
        raise Compacted("etcd was replaced while it was read", revision=0)
    return Reading(image, revision, keys, mark.kv.mod_revision if mark.kv else 0)


async def _put(image: Image, page: RangeResult) -> None:
    for index, kv in enumerate(page.kvs, 1):
        image.put(kv.key, kv.value)
        if index % SLICE_KEYS == 0:
            await asyncio.sleep(0)
    # A large image that lives long is never looked through for garbage. Left for the end the
    # collector would hold the loop again and again, and longer each time.
    gc.freeze()
