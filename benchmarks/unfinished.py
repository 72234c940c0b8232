"""Hand-over and takeover of a rootcoord with drops that wait for a querycoord that is not there.

A pair of processes hands over (SIGTERM) and is killed (SIGKILL) in turns; printed is how long it
takes until the other one says that it is active, asked every other millisecond, and the memory of
the active.

    python -m benchmarks.unfinished --drops 6000 100000 --rounds 10
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.report import Series, table
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Op, Txn
from milvus_coord.model.collection import CollectionState
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdMember
from testing.metadata import META_ROOT, collection, ts
from testing.ours import ACTIVE, NEVER_EARLY, OurRole

LOADED_S: Final = 120.0
SETTLED_S: Final = 6.0
_LOOK_S: Final = 0.002
_AT_ONCE: Final = 32
_FAULTS: Final[dict[str, Callable[[OurRole], None]]] = {
    "hand-over": OurRole.terminate,
    "kill -9": OurRole.kill,
}


async def fill(endpoint: str, drops: int) -> None:
    """Write the records of so many collections that are being dropped."""
    catalog = Catalog(META_ROOT)
    client = EtcdClient(EtcdSettings((endpoint,)), SystemClock())
    await client.connect()
    try:
        for start in range(1, drops + 1, _AT_ONCE):
            ops: list[Op] = []
            for number in range(start, min(start + _AT_ONCE, drops + 1)):
                dropping = collection(number, state=CollectionState.DROPPING)
                for writes in catalog.put_collection(dropping, ts(number)):
                    ops += writes
            await client.txn(Txn((), tuple(ops)))
    finally:
        await client.close()


def _member(etcd: EtcdMember, folder: Path) -> OurRole:
    return OurRole(
        "rootcoord",
        etcd_endpoints=etcd.endpoints,
        folder=folder,
        session_ttl_s=60,
        env=NEVER_EARLY,
    )


async def _until_active(heir: OurRole, strike: Callable[[], None]) -> float:
    began_s = time.perf_counter()
    strike()
    while await heir.standing() != ACTIVE:  # noqa: ASYNC110 - another process cannot set an event
        await asyncio.sleep(_LOOK_S)
    return (time.perf_counter() - began_s) * 1000


async def measure(drops: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each fault, and MiB of the active."""
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="milvus-coord-") as folder:
        etcd = EtcdMember("unfinished", Path(folder))
        pair: list[OurRole] = []
        try:
            await etcd.start()
            await fill(etcd.client_endpoint, drops)
            pair += [_member(etcd, Path(folder) / str(number)) for number in range(2)]
            pair[0].start()
            await pair[0].wait_active(LOADED_S)
            for _ in range(rounds):
                for fault, strike in _FAULTS.items():
                    pair[1].start()
                    await pair[1].wait_standby(LOADED_S)
                    await asyncio.sleep(SETTLED_S)
                    found["memory MiB"].append(pair[0].rss_bytes() / 2**20)
                    found[fault].append(await _until_active(pair[1], partial(strike, pair[0])))
                    await pair[0].wait_exit(LOADED_S)
                    pair.reverse()
        finally:
            for member in pair:
                member.kill()
            etcd.kill()
    return found


async def compare(counts: list[int], rounds: int) -> str:
    """The table."""
    rows = [["takeover", "rounds", "p50 ms", "p99 ms", "max ms"]]
    for drops in counts:
        for name, values in (await measure(drops, rounds)).items():
            took = Series(name, tuple(values))
            figures = (took.median, took.percentile(99), took.largest)
            title = f"{name}, {drops:,} drops"
            rows.append([title, str(len(took.values)), *(f"{each:.1f}" for each in figures)])
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drops", type=int, nargs="+", default=[6_000, 100_000])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(asyncio.run(compare([0, *options.drops], options.rounds)))


if __name__ == "__main__":
    main()
