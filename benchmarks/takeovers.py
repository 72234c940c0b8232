"""Takeovers of a pair on one etcd: what the benchmarks of special stores measure."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.report import Series
from testing.etcd import EtcdMember
from testing.ours import ACTIVE, OurRole

SETTLED_S: Final = 6.0
"""Until all memory lies in huge pages; etcd sends the first events up to 100 ms late."""

HEAD: Final = ["takeover", "rounds", "p50 ms", "p99 ms", "max ms"]
_LOOK_S: Final = 0.002
_FAULTS: Final[dict[str, Callable[[OurRole], None]]] = {
    "hand-over": OurRole.terminate,
    "kill -9": OurRole.kill,
}


async def takeovers(
    fill: Callable[[str], Awaitable[None]],
    member: Callable[[EtcdMember, Path], OurRole],
    rounds: int,
    *,
    loaded_s: float,
) -> dict[str, list[float]]:
    """Milliseconds of each fault, and MiB of the active, once a round each.

    Args:
        fill: writes what the store holds; it gets the endpoint.
        member: makes one of the pair, not started.
        rounds: a restart and a takeover by each fault.
        loaded_s: how long reading all of that may take.
    """
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="milvus-coord-") as folder:
        etcd = EtcdMember("takeovers", Path(folder))
        pair: list[OurRole] = []
        try:
            await etcd.start()
            await fill(etcd.client_endpoint)
            pair += [member(etcd, Path(folder) / str(number)) for number in range(2)]
            pair[0].start()
            await pair[0].wait_active(loaded_s)
            for _ in range(rounds):
                for fault, strike in _FAULTS.items():
                    pair[1].start()
                    await pair[1].wait_standby(loaded_s)
                    await asyncio.sleep(SETTLED_S)
                    found["memory MiB"].append(pair[0].rss_bytes() / 2**20)
                    found[fault].append(await _until_active(pair[1], partial(strike, pair[0])))
                    await pair[0].wait_exit(loaded_s)
                    pair.reverse()
        finally:
            for one in pair:
                one.kill()
            etcd.kill()
    return found


def rows(found: Mapping[str, Iterable[float]], of: str) -> list[list[str]]:
    """Lines of a table below `HEAD`; `of` says what the store held."""
    series = [Series(name, tuple(values)) for name, values in found.items()]
    return [
        [
            f"{one.name}, {of}",
            str(len(one.values)),
            *(f"{each:.1f}" for each in (one.median, one.percentile(99), one.largest)),
        ]
        for one in series
    ]


async def _until_active(heir: OurRole, strike: Callable[[], None]) -> float:
    began_s = time.perf_counter()
    strike()
    while await heir.standing() != ACTIVE:  # noqa: ASYNC110 - another process cannot set an event
        await asyncio.sleep(_LOOK_S)
    return (time.perf_counter() - began_s) * 1000
