"""Calls per second that a rootcoord answers, ours and Go's: 4 connections with 16 streams each.

The load comes from h2load (Debian: nghttp2-client), which costs less than either contender. Each
has the machine to itself; they take turns.

    python -m benchmarks.rootcoord_calls --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import struct
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.report import Series, comparison
from benchmarks.statements import (
    SERVICE,
    allocate_id,
    allocate_timestamp,
    call,
    connected,
    create_collection,
    describe_collection,
    has_collection,
)
from testing.cluster import Kind, cluster
from testing.go_milvus import GoMilvus

_NAME: Final = "measured"
CALLS: Final[dict[str, Callable[[], bytes]]] = {
    "AllocTimestamp": allocate_timestamp,
    "AllocID": allocate_id,
    "DescribeCollection": lambda: describe_collection(_NAME),
    "HasCollection": lambda: has_collection(_NAME),
}
Measured = dict[tuple[str, str], list[float]]


async def load(address: str, rpc: str, body: bytes, folder: Path, seconds: int) -> float:
    """Calls per second. Raises RuntimeError when one of them was not answered."""
    data = folder / f"{rpc}.bin"
    data.write_bytes(struct.pack(">BI", 0, len(body)) + body)
    process = await asyncio.create_subprocess_exec(
        *("h2load", "--connection-window-bits=24", "--window-bits=20", "-c4", "-m16", "-t1"),
        *(f"--duration={seconds}", "--warm-up-time=1", f"--data={data}"),
        *("-H", "content-type: application/grpc", "-H", "te: trailers"),
        f"http://{address}/milvus.proto.{SERVICE}/{rpc}",
        stdout=asyncio.subprocess.PIPE,
    )
    text = (await process.communicate())[0].decode()
    rate = re.search(r"finished in \S+, ([\d.]+) req/s", text)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
    if rate is None or failed is None or any(map(int, failed.groups())):
        raise RuntimeError(f"h2load of {rpc} at {address}:\n{text}")
    return float(rate[1])


async def _round(milvus: GoMilvus, kind: Kind, seconds: int, found: Measured) -> None:
    with tempfile.TemporaryDirectory(prefix="milvus-coord-") as made_in:
        folder = Path(made_in)
        async with (
            cluster(milvus, folder, pair=(kind, kind), roles=("datacoord",)) as made,
            connected(made.active.address) as connection,
        ):
            await call(connection, "CreateCollection", create_collection(_NAME))
            for rpc, body in CALLS.items():
                await call(connection, rpc, body())
                rate = await load(made.active.address, rpc, body(), folder, seconds)
                found[kind, rpc].append(rate)
                print(f"{kind} {rpc}: {rate:.0f}/s", file=sys.stderr)


async def measure(rounds: int, seconds: int, kinds: list[Kind]) -> str:
    """The tables."""
    found: Measured = defaultdict(list)
    milvus = GoMilvus.install()
    for _ in range(rounds):
        for kind in kinds:
            await _round(milvus, kind, seconds, found)
    tables = []
    for rpc in CALLS:
        series = {kind: Series(kind, tuple(found[kind, rpc])) for kind in kinds}
        tables.append(comparison(rpc, "1/s", ours=series.get("ours"), go=series["go"]))
    return "\n\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--only-go", action="store_true")
    options = parser.parse_args()
    if shutil.which("h2load") is None:
        sys.exit("h2load is not there; Debian has it in the package nghttp2-client")
    kinds: list[Kind] = ["go"] if options.only_go else ["ours", "go"]
    print(asyncio.run(measure(options.rounds, options.seconds, kinds)))


if __name__ == "__main__":
    main()
