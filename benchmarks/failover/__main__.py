"""Faults against a pair of rootcoords: how long a client waits, and is it safe. Ours and Go's.

A client asks both of a pair every 2 ms; each run is one fault, and ends when both are up again.
The time is the longest between two timestamps that the client got. Runs are kept in a folder as
they are made; the same command with the same --keep goes on where it was interrupted.

    python -m benchmarks.failover --runs 50 --keep runs
    python -m benchmarks.failover --merge runs other-runs
    python -m benchmarks.failover --merge benchmarks/failover/measured/*.jsonl.gz

Needs root for the cases with hosts of their own (network and process namespaces).
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.failover.cases import CASES, Case
from benchmarks.failover.play import Play
from benchmarks.failover.runs import Folder, Key, Run, merged
from benchmarks.failover.scene import Scene, scene
from benchmarks.failover.table import tables
from milvus_coord.model.errors import CoordError
from testing.daemon import boottime_s
from testing.go_milvus import GoMilvus
from tests.rig.netns import Lan

ETCD_STOPPED_TTL_S_MIN = 10
FAILED_MAX = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: runs of ours and of Go's for each case and number of collections."""

    cases: tuple[Case, ...]
    collections: tuple[int, ...]
    runs: int
    etcd_runs: int
    go_runs: int
    ttl_s: int

    def wanted(self, case: Case, kind: str) -> int:
        if kind == "go":
            return self.go_runs if case.go else 0
        return self.runs if case.fails_over else self.etcd_runs


async def measure(plan: Plan, folder: Folder) -> None:
    """Make what the folder lacks."""
    with Lan() as lan:
        for collections in plan.collections:
            by_members = sorted(plan.cases, key=lambda case: case.members)
            for members, group in groupby(by_members, key=lambda case: case.members):
                cases = [case for case in group if case.fails_over or not collections]
                if not any(_lacking(plan, folder, case, collections) for case in cases):
                    continue
                with tempfile.TemporaryDirectory(prefix="milvus-coord-") as scratch:
                    async with scene(
                        lan,
                        Path(scratch),
                        members=members,
                        collections=collections,
                        ttl_s=plan.ttl_s,
                    ) as made:
                        await _play_all(plan, folder, made, cases, collections)


def _lacking(plan: Plan, folder: Folder, case: Case, collections: int) -> list[Key]:
    keys = [Key(case.name, kind, collections, plan.ttl_s) for kind in ("ours", "go")]
    return [key for key in keys if len(folder.of(key)) < plan.wanted(case, key.kind)]


async def _play_all(
    plan: Plan, folder: Folder, made: Scene, cases: Sequence[Case], collections: int
) -> None:
    for kind in ("ours", "go"):
        for case in sorted(cases, key=lambda case: case.place.value):
            key = Key(case.name, kind, collections, plan.ttl_s)
            if len(folder.of(key)) < plan.wanted(case, kind):
                await made.enter(kind, case.place)
                await _play(made, Play(made, case, key, folder), plan.wanted(case, kind))
    await made.leave()


async def _play(made: Scene, play: Play, wanted: int) -> None:
    """All runs of a case; one that fails for a reason of the benchmark's own is made again."""
    failed = 0
    while (number := play.done + 1) <= wanted:
        began_s = boottime_s()
        try:
            run = await play.run(number)
        except (AssertionError, CoordError, OSError):
            failed += 1
            if failed > FAILED_MAX:
                raise
            traceback.print_exc()
            await made.pair.renew()
            continue
        took_s = boottime_s() - began_s
        print(f"{_line(run)}, run {number} of {wanted} took {took_s:.1f} s", file=sys.stderr)


def _line(run: Run) -> str:
    key = run.key
    safe = "; ".join(run.unsafe) or "safe"
    cause = f", {run.takeover['cause']}" if run.takeover else ""
    return f"{key.kind} {key.case} {key.collections}: {run.gap_ms:.1f} ms{cause}, {safe}"


def _arguments() -> argparse.Namespace:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default=",".join(names), help="comma-separated; all by default")
    parser.add_argument("--collections", default="0,10000")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--etcd-runs", type=int, help="of faults of etcd itself; runs / 5")
    parser.add_argument("--go-runs", type=int, default=3)
    parser.add_argument("--ttl", type=int, default=60, help="common.session.ttl in seconds")
    parser.add_argument("--keep", type=Path, default=Path("failover-runs"), metavar="FOLDER")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="RUNS", help="print, run none")
    options = parser.parse_args()
    if unknown := set(options.cases.split(",")) - set(names):
        parser.error(f"unknown cases {sorted(unknown)}; there are {', '.join(names)}")
    if "etcd-stopped" in options.cases.split(",") and options.ttl < ETCD_STOPPED_TTL_S_MIN:
        parser.error(f"etcd-stopped needs a --ttl of {ETCD_STOPPED_TTL_S_MIN} at least")
    return options


def main() -> None:
    options = _arguments()
    if options.merge:
        print(tables(merged(options.merge)))
        return
    chosen = options.cases.split(",")
    plan = Plan(
        cases=tuple(case for case in CASES if case.name in chosen),
        collections=tuple(int(number) for number in options.collections.split(",")),
        runs=options.runs,
        etcd_runs=options.etcd_runs if options.etcd_runs is not None else -(-options.runs // 5),
        go_runs=options.go_runs,
        ttl_s=options.ttl,
    )
    GoMilvus.install()  # from inside the private network nothing can be fetched
    folder = Folder.open(options.keep)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    try:
        asyncio.run(measure(plan, folder))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
    except Exception:
        traceback.print_exc()
    print(tables(folder.runs))


if __name__ == "__main__":
    main()
