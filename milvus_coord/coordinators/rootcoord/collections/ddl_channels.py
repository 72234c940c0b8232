"""The physical channels of this term: who uses which, and what a new collection gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from milvus_coord.coordinators.rootcoord.collections.ddl_limits import DdlLimits
from milvus_coord.coordinators.rootcoord.collections.rules_channels import ChannelPool, pool_size
from milvus_coord.model.errors import Refused


class Ticks(Protocol):
    """The time ticks: channels in use get them."""

    def use(self, channels: Iterable[str]) -> None: ...

    def release(self, channels: Iterable[str]) -> None: ...


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
