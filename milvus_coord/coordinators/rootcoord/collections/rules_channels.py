"""Which physical channels a new collection gets."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

from milvus_coord.model.channels import channel_index, physical_channel


def pool_size(dml_channel_num: int, in_use: Iterable[str]) -> int:
    """How many channels there are: as configured, and never fewer than collections use."""
    indexes = (channel_index(name) for name in in_use)
    highest = max((index for index in indexes if index is not None), default=-1)
    return max(dml_channel_num, highest + 1)


class ChannelPool:
    """The channels `<prefix>_0` to `<prefix>_<size - 1>`, and how often each was chosen so far."""

    def __init__(self, prefix: str, size: int) -> None:
        self._prefix, self.size = prefix, size
        self._chosen: Counter[int] = Counter()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, by number."""
        return tuple(physical_channel(self._prefix, index) for index in range(self.size))

    def choose(self, count: int, references: Mapping[str, int]) -> tuple[str, ...]:
        """The `count` channels with the fewest collections; fewer when there are not so many.

        Among equals those chosen least often since the start of the term, then the lowest
        numbers. `references` counts the collections of each channel; absent means none.
        """

        def load(index: int) -> tuple[int, int, int]:
            name = physical_channel(self._prefix, index)
            return references.get(name, 0), self._chosen[index], index

        indexes = heapq.nsmallest(count, range(self.size), key=load)
        self._chosen.update(indexes)
        return tuple(physical_channel(self._prefix, index) for index in indexes)
