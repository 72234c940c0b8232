"""CreateCollection per second with 1, 8 and 64 callers: our rootcoord and Go's.

Each contender has an etcd, a broker and a Go datacoord of its own, and the machine to itself; they
take turns. A round is `--creates` collections of three fields and two shards for each number of
callers, at callers = 1 a quarter of that.

With `--stand-ins` datacoord and a proxy are one process that agrees to everything at once: Go's
datacoord writes each channel to etcd under one lock, which bounds what any rootcoord can reach.

    python -m benchmarks.rootcoord_creates --rounds 3
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
from benchmarks.statements import call, connected, create_collection, side_by_side
from testing.cluster import Kind, cluster
from testing.cluster_peers import Peers
from testing.daemon import boottime_s
from testing.go_milvus import GoMilvus

CALLERS: Final = (1, 8, 64)
_WARM_UP: Final = 20
Measured = dict[tuple[str, int], list[float]]


async def _round(
    milvus: GoMilvus, kind: Kind, creates: int, found: Measured, peers: Peers | None = None
) -> None:
    roles = () if peers else ("datacoord",)
    with tempfile.TemporaryDirectory(prefix="milvus-coord-") as folder:
        async with (
            cluster(milvus, Path(folder), pair=(kind, kind), roles=roles) as made,
            connected(made.active.address) as connection,
        ):
            if peers:
                await peers.register(made.etcd)

            async def create(number: int) -> None:
                await call(connection, "CreateCollection", create_collection(f"{prefix}{number}"))

            prefix = "warm_"
            await side_by_side(4, _WARM_UP, create)
            for callers in CALLERS:
                prefix, total = f"by{callers}_", creates if callers > 1 else creates // 4
                began_s = boottime_s()
                await side_by_side(callers, total, create)
                rate = total / (boottime_s() - began_s)
                found[kind, callers].append(rate)
                print(f"{kind} {callers} callers: {rate:.0f}/s", file=sys.stderr)


async def measure(rounds: int, creates: int, kinds: list[Kind], peers: Peers | None) -> str:
    """The tables."""
    found: Measured = defaultdict(list)
    milvus = GoMilvus.install()
    for _ in range(rounds):
        for kind in kinds:
            await _round(milvus, kind, creates, found, peers)
    tables = []
    for callers in CALLERS:
        series = {kind: Series(kind, tuple(found[kind, callers])) for kind in kinds}
        title = f"CreateCollection, {callers} callers"
        tables.append(comparison(title, "1/s", ours=series.get("ours"), go=series["go"]))
    return "\n\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--creates", type=int, default=800)
    parser.add_argument("--only-go", action="store_true")
    parser.add_argument("--stand-ins", action="store_true")
    options = parser.parse_args()
    kinds: list[Kind] = ["go"] if options.only_go else ["ours", "go"]
    peers = Peers() if options.stand_ins else None
    if peers:
        peers.start()
    try:
        print(asyncio.run(measure(options.rounds, options.creates, kinds, peers)))
    finally:
        if peers:
            peers.stop()


if __name__ == "__main__":
    main()
