"""Hand-over and takeover of a rootcoord with drops that wait for a querycoord that is not there.

A pair of processes hands over (SIGTERM) and is killed (SIGKILL) in turns; printed is how long it
takes until the other one says that it is active, asked every other millisecond, and the memory of
the active.

    python -m benchmarks.unfinished --drops 6000 100000 --rounds 10
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Final

from benchmarks.report import table
from benchmarks.takeovers import HEAD, rows, takeovers
from milvus_coord.coordinators.rootcoord.metadata.catalog import Catalog
from milvus_coord.etcd.client.client import EtcdClient
from milvus_coord.etcd.settings import EtcdSettings
from milvus_coord.etcd.txn import Op, Txn
from milvus_coord.model.collection import CollectionState
from milvus_coord.runtime.clock import SystemClock
from testing.etcd import EtcdMember
from testing.metadata import META_ROOT, collection, ts
from testing.ours import NEVER_EARLY, OurRole

LOADED_S: Final = 120.0
_AT_ONCE: Final = 32


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


async def compare(counts: list[int], rounds: int) -> str:
    """The table."""
    lines = [HEAD]
    for drops in counts:
        found = await takeovers(
            lambda endpoint, drops=drops: fill(endpoint, drops),  # type: ignore[misc]
            _member,
            rounds,
            loaded_s=LOADED_S,
        )
        lines += rows(found, f"{drops:,} drops")
    return table(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drops", type=int, nargs="+", default=[6_000, 100_000])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(asyncio.run(compare([0, *options.drops], options.rounds)))


if __name__ == "__main__":
    main()
