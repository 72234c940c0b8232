"""Ours and Go's with 10,000 collections on one and the same store: cold start, memory, takeover.

Our rootcoord makes the collections; the two then take turns on that store, each as a pair beside
the same etcd and broker, so both read the same 140,000 keys. A cold start is from process start to
the first DescribeCollection answered; a takeover from the signal to the same, by the standby.

    python -m benchmarks.rootcoord_large --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final

from benchmarks.report import Series, comparison
from benchmarks.statements import (
    call,
    connected,
    create_collection,
    describe_collection,
    side_by_side,
)
from testing.cluster import Cluster, Kind, Troupe, cluster
from testing.daemon import RoleDaemon, boottime_s
from testing.go_milvus import GoMilvus
from testing.grpc_wire import RpcFailed

CALLERS: Final = 32
MEBIBYTE: Final = 1024 * 1024
FIGURES: Final = {
    "cold start": "ms",
    "resident memory, active": "MiB",
    "resident memory, standby": "MiB",
    "takeover after SIGTERM": "ms",
}
Measured = dict[tuple[str, str], list[float]]


async def _fill(made: Cluster, collections: int) -> None:
    async with connected(made.active.address) as connection:

        async def create(number: int) -> None:
            await call(connection, "CreateCollection", create_collection(f"c{number}"))

        began_s = boottime_s()
        await side_by_side(CALLERS, collections, create)
        took_s = boottime_s() - began_s
    print(f"made {collections} collections in {took_s:.0f} s", file=sys.stderr)


async def _answered(role: RoleDaemon, since_s: float, name: str) -> float:
    """Milliseconds from `since_s` until `role` describes collection `name`."""
    body = describe_collection(name)
    while boottime_s() - since_s < 60:
        try:
            async with connected(role.address) as connection, asyncio.timeout(5):
                while True:
                    try:
                        await call(connection, "DescribeCollection", body)
                    except RuntimeError:  # not ready yet
                        await asyncio.sleep(0.002)
                    else:
                        return (boottime_s() - since_s) * 1000
        except (OSError, RpcFailed, TimeoutError):
            await asyncio.sleep(0.002)
    raise TimeoutError(f"{role.name} does not describe {name}")


async def _round(troupe: Troupe, kind: Kind, name: str, found: Measured) -> None:
    first, second = troupe.make(kind), troupe.make(kind)
    began_s = boottime_s()
    first.start()
    figures = {"cold start": await _answered(first, began_s, name)}
    second.start()
    await second.wait_standby()
    await asyncio.sleep(3.0)  # both at rest
    figures["resident memory, active"] = first.rss_bytes() / MEBIBYTE
    figures["resident memory, standby"] = second.rss_bytes() / MEBIBYTE
    signalled_s = boottime_s()
    first.terminate()
    figures["takeover after SIGTERM"] = await _answered(second, signalled_s, name)
    await first.wait_exit(within_s=40)
    await second.stop(within_s=40)
    for figure, value in figures.items():
        found[kind, figure].append(value)
        print(f"{kind} {figure}: {value:.0f} {FIGURES[figure]}", file=sys.stderr)


async def measure(rounds: int, collections: int, kinds: list[Kind]) -> str:
    """The tables."""
    found: Measured = defaultdict(list)
    maker: Kind = "ours" if "ours" in kinds else "go"
    with tempfile.TemporaryDirectory(prefix="milvus-coord-") as folder:
        async with cluster(
            GoMilvus.install(), Path(folder), pair=(maker, maker), roles=("datacoord",)
        ) as made:
            await _fill(made, collections)
            await made.standby.stop(within_s=40)
            await made.active.stop(within_s=40)
            for _ in range(rounds):
                for kind in kinds:
                    await _round(made.troupe, kind, f"c{collections - 1}", found)
    tables = []
    for figure, unit in FIGURES.items():
        series = {kind: Series(kind, tuple(found[kind, figure])) for kind in kinds}
        tables.append(comparison(figure, unit, ours=series.get("ours"), go=series["go"]))
    return "\n\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--collections", type=int, default=10_000)
    parser.add_argument("--only-go", action="store_true")
    options = parser.parse_args()
    kinds: list[Kind] = ["go"] if options.only_go else ["ours", "go"]
    print(asyncio.run(measure(options.rounds, options.collections, kinds)))


if __name__ == "__main__":
    main()
