"""Play random scenarios again and again; print what each of them costs and whether all was SAFE.

    scripts/chaos --hours 1 [--only S4,S7] [--seed N] [--short] [--keep FOLDER]

A run is SAFE, UNSAFE, or FAILED: nothing unsafe, but not what should have happened. Exit code 0:
every run was SAFE; 1: one was not, and FOLDER has its histories and logs; 2: wrong arguments. An
interrupt prints the table of what was played so far.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.rig.play import Verdict, judge
from tests.rig.registry import Scenario, scenarios

_BAD: Final = ("UNSAFE", "FAILED")
_HEAD: Final = ("scenario", "fault", "runs", "p50", "p99", "worst", "")


class Table:
    """What was found so far, by scenario."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Verdict]] = defaultdict(list)

    def add(self, verdict: Verdict) -> None:
        self.runs[verdict.name].append(verdict)

    @property
    def fine(self) -> bool:
        return all(each.word == "SAFE" for runs in self.runs.values() for each in runs)

    def rows(self) -> list[tuple[str, ...]]:
        """RTO in ms for each kind of fault of each scenario, and how many runs were unsafe."""
        found: list[tuple[str, ...]] = [_HEAD]
        for name, runs in sorted(self.runs.items(), key=lambda item: _order(item[0])):
            words = Counter(each.word for each in runs)
            bad = [f"{word} {words[word]} of {len(runs)}" for word in _BAD if words[word]]
            word = ", ".join(bad) or "SAFE"
            costs: dict[str, list[float]] = defaultdict(list)
            for each in runs:
                for fault, rto_s in each.rtos_s:
                    costs[fault].append(rto_s * 1000)
            if not costs:
                found.append((name, "-", str(len(runs)), "-", "-", "-", word))
            for fault, ms in costs.items():
                numbers = [f"{percentile(ms, share):.0f}" for share in (0.5, 0.99, 1.0)]
                found.append((name, fault, str(len(ms)), *numbers, word))
        return found

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that so large a share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _order(name: str) -> tuple[int, str]:
    number = name.removeprefix("S").partition("-")[0]
    return (int(number) if number.isdigit() else sys.maxsize, name)


def _chosen(only: str) -> list[Scenario]:
    """Raises SystemExit(2) for a name that is not there."""
    known = scenarios()
    names = [name for name in only.split(",") if name] or sorted(known, key=_order)
    if missing := [name for name in names if name not in known]:
        print(f"no scenario {', '.join(missing)}; there are {', '.join(sorted(known, key=_order))}")
        raise SystemExit(2)
    for name in names:
        if known[name].obstacle:
            print(f"{name} left out: {known[name].obstacle}")
    return [known[name] for name in names if not known[name].obstacle]


async def _play_all(options: argparse.Namespace, table: Table) -> None:
    chosen = _chosen(options.only)
    if not chosen:
        raise SystemExit(2)
    dice = random.Random(options.seed)
    until = time.monotonic() + options.hours * 3600
    number = 0
    while time.monotonic() < until:
        for wanted in dice.sample(chosen, len(chosen)):
            number += 1
            seed = dice.randrange(1 << 32)
            folder = options.keep / f"{number:05d}-{wanted.name}-{seed}"
            verdict = await judge(wanted, folder, long=not options.short, seed=seed)
            table.add(verdict)
            _tell(verdict, seed, folder)
            if verdict.word == "SAFE":
                shutil.rmtree(folder, ignore_errors=True)
            if time.monotonic() >= until:
                break


def _tell(verdict: Verdict, seed: int, folder: Path) -> None:
    rtos = " ".join(f"{fault} {rto_s * 1000:.0f} ms" for fault, rto_s in verdict.rtos_s[:6])
    word = "SAFE" if verdict.word == "SAFE" else f"{verdict.word}, see {folder}"
    print(f"{verdict.name:<9} {verdict.took_s:6.1f} s  seed {seed:<10}  {rtos}  {word}", flush=True)
    for violation in [*verdict.violations, *verdict.surprises][:3]:
        print(f"    {_gist(violation)}", flush=True)


def _gist(violation: str) -> str:
    """Its last line that says something."""
    lines = [line.strip(" +-|") for line in violation.splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=1.0, help="for how long (default: 1)")
    parser.add_argument("--only", default="", metavar="NAMES", help="of these alone: S4,S7")
    parser.add_argument("--seed", type=int, default=None, help="play the same again")
    parser.add_argument("--short", action="store_true", help="the short forms, as in the tests")
    parser.add_argument("--keep", type=Path, default=Path(".cache/chaos"), help="(.cache/chaos)")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    options.keep = options.keep.resolve()
    print(f"seed {options.seed}", flush=True)
    table = Table()
    try:
        asyncio.run(_play_all(options, table))
    except KeyboardInterrupt:
        print("interrupted")
    print(f"\nRTO in ms\n{table}")
    return 0 if table.fine else 1


if __name__ == "__main__":
    sys.exit(main())
