"""The physical channels of a term: how many collections use each, and which a new one gets."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

from milvus_coord.coordinators.rootcoord.collections.rules_limits import DdlLimits
from milvus_coord.coordinators.rootcoord.ticks.work import Ticks
from milvus_coord.model.channels import channel_index, physical_channel
from milvus_coord.model.errors import Refused


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


class DmlChannels:
    """Counts the collections of each channel; those that have any get time ticks.

    A collection counts from before its first message until readers have seen its last one, so
    that a tick follows both. Exactly once, while Go 2.2.16 counts some twice after a restart.

    Args:
        in_use: channel -> number of stored collections, in any state.
    """

    def __init__(self, ticks: Ticks, limits: DdlLimits, in_use: Counter[str]) -> None:
        self._ticks = ticks
        self._pool = ChannelPool(limits.dml_prefix, pool_size(limits.dml_channel_num, in_use))
        self.references: Counter[str] = Counter()
        self.use(in_use.elements())

    @property
    def pool(self) -> tuple[str, ...]:
        """All channels that there are to choose from."""
        return self._pool.names

    def take(self, count: int) -> tuple[str, ...]:
        """Choose channels for a new collection and use them. Raises Refused."""
        channels = self._pool.choose(count, self.references)
        if len(channels) < count:
            raise Refused(f"no enough channels, want: {count}, got: {len(channels)}")
        self.use(channels)
        return channels

    def use(self, channels: Iterable[str]) -> None:
        """One more collection for each of `channels`."""
        used = tuple(channels)
        self.references.update(used)
        self._ticks.use(used)

    def release(self, channels: Iterable[str]) -> None:
        """One collection less for each of `channels`."""
        released = tuple(channels)
        for channel in released:
            self.references[channel] -= 1
            if not self.references[channel]:
                del self.references[channel]
        self._ticks.release(released)
