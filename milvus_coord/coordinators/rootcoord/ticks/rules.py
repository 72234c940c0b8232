"""The time tick that each channel may get: the lowest promise of all that write to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from milvus_coord.model.errors import IllegalMove, Refused
from milvus_coord.model.timestamps import Timestamp

NONE: Final = Timestamp(0)
"""No tick: lower than every timestamp."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The last promise of one proxy: it writes nothing at or below these timestamps any more.

    `channels` are those it writes to, `default` holds for all others.
    """

    channels: Mapping[str, int]
    default: int

    def at(self, channel: str) -> int:
        """The promise for one channel."""
        return self.channels.get(channel, self.default)


@dataclass(eq=False, slots=True)
class Hold:
    """A statement in flight whose message is still to be sent: no tick of `channels` passes it."""

    channels: tuple[str, ...]
    limit: Timestamp


class TickBoard:
    """The promises of all sources, the statements in flight, and the last tick of each channel.

    The sources are ourselves and every proxy that has a session. A promise once made stays true,
    so a proxy that stops reporting holds all ticks at its last one, and one that has never
    reported holds them where they are; only the end of its session lets them go on without it.
    (Go 2.2.16 forgets all promises after each round, and waits for a fresh one of everybody.)
    Nothing is due before the proxies are known.
    """

    def __init__(self) -> None:
        self._own = NONE
        self._proxies: dict[int, Promise | None] = {}
        self._proxies_known = False
        self._holds: dict[str, set[Hold]] = {}
        self._last: dict[str, Timestamp] = {}

    @property
    def proxies(self) -> Collection[int]:
        """The server ids of the proxies that count."""
        return self._proxies.keys()

    @property
    def awaited(self) -> list[int]:
        """The proxies that have never reported, in order."""
        return sorted(proxy for proxy, promise in self._proxies.items() if promise is None)

    def proxies_changed(self, proxies: Iterable[int]) -> None:
        """These are the proxies now: new ones are waited for, missing ones count no longer."""
        self._proxies_known = True
        self._proxies = {proxy: self._proxies.get(proxy) for proxy in proxies}

    def promise(self, ts: Timestamp) -> None:
        """We ourselves send nothing at or below `ts` any more, but for what is held."""
        self._own = max(self._own, ts)

    def report(
        self, proxy: int, channels: Sequence[str], timestamps: Sequence[int], default: int
    ) -> bool:
        """Take a proxy's promise; False when it says nothing or comes late, after a newer one.

        Raises Refused, in the words of Go 2.2.16, for lists of unequal length and for a source
        that is no known proxy.
        """
        if not channels and not default:
            return False
        if len(channels) != len(timestamps):
            raise Refused("invalid TimeTickMsg, timestamp and channelname size mismatch")
        if proxy not in self._proxies:
            raise Refused(f"skip ChannelTimeTickMsg from un-recognized session {proxy}")
        last = self._proxies[proxy]
        if last is not None and default < last.default:
            return False
        self._proxies[proxy] = Promise(dict(zip(channels, timestamps, strict=True)), default)
        return True

    def hold(self, channels: Iterable[str]) -> Hold:
        """Keep the ticks of `channels` below a timestamp that is about to be taken."""
        held = Hold(tuple(dict.fromkeys(channels)), self._own)
        for channel in held.channels:
            self._holds.setdefault(channel, set()).add(held)
        return held

    def settle(self, held: Hold, ts: Timestamp) -> None:
        """The timestamp has been taken. Raises IllegalMove when it is not above our promise."""
        if ts <= held.limit:
            raise IllegalMove("the hold of a statement", held.limit, ts)
        held.limit = Timestamp(ts - 1)

    def release(self, held: Hold) -> None:
        """The statement's messages are out, or will never be."""
        for channel in held.channels:
            self._holds[channel].discard(held)
            if not self._holds[channel]:
                del self._holds[channel]

    def limit(self, channel: str) -> Timestamp:
        """Up to where everything of `channel` has been sent, as far as all have promised."""
        if not self._proxies_known:
            return NONE
        lowest: int = self._own
        for promise in self._proxies.values():
            if promise is None:
                return NONE
            lowest = min(lowest, promise.at(channel))
        for held in self._holds.get(channel, ()):
            lowest = min(lowest, held.limit)
        return Timestamp(lowest)

    def due(self, channel: str) -> Timestamp | None:
        """The tick to send now; None when it would not be larger than the last one."""
        tick = self.limit(channel)
        return tick if tick > self._last.get(channel, NONE) else None

    def offer(self, channel: str, tick: Timestamp) -> None:
        """`tick` is being sent. It counts as sent whatever comes of that: none is sent twice.

        Remembered for channels that are no longer in use as well. Raises IllegalMove for a tick
        that is not due.
        """
        if tick <= self._last.get(channel, NONE) or tick > self.limit(channel):
            raise IllegalMove(f"the tick of {channel}", self._last.get(channel, NONE), tick)
        self._last[channel] = tick

    def why(self, channel: str) -> str:
        """Name the source that holds the ticks of `channel`, the one with the lowest promise."""
        if not self._proxies_known:
            return "the proxies have not been listed yet"
        if awaited := self.awaited:
            return f"proxy {awaited[0]} has not reported yet"
        least, text = int(self._own), "no timestamp of our own is to be had"
        for proxy, promise in self._proxies.items():
            if promise is not None and promise.at(channel) < least:
                least = promise.at(channel)
                text = f"proxy {proxy} has writes in flight, or is silent"
        if any(held.limit < least for held in self._holds.get(channel, ())):
            text = "a statement in flight has not sent its message yet"
        return text
