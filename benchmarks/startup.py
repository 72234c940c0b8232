"""How long a standby rootcoord takes from process start to its first STANDBY line, and its memory.

Ours and Go's take turns on an empty store, each beside an active one of its own kind. Both times
include the few milliseconds of the launcher that ties a process to this one.

    python -m benchmarks.startup --rounds 10
"""

from __future__ import annotations

import argparse
import asyncio

from benchmarks.report import Series, comparison
from benchmarks.stage import Stage, staged
from testing.daemon import RoleDaemon, boottime_s

SETTLE_S = 1.0
MEBIBYTE = 1024 * 1024


async def _round(standby: RoleDaemon) -> tuple[float, float]:
    """Start, look, stop: milliseconds to the line, MiB resident a second later."""
    after = standby.log_size()
    standby.start()
    await standby.wait_line("STANDBY", within_s=30, after=after)
    line_ms = (boottime_s() - standby.started_at_s) * 1000
    await standby.wait_standby()
    await asyncio.sleep(SETTLE_S)
    rss_mib = standby.rss_bytes() / MEBIBYTE
    await standby.stop(within_s=40)
    return line_ms, rss_mib


async def _actives(stage: Stage, kinds: list[str]) -> None:
    for kind in kinds:
        active = stage.make(kind, f"{kind}-active")
        active.start()
        await active.wait_active()


async def measure(rounds: int, kinds: list[str]) -> str:
    """The tables."""
    results: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    async with staged() as stage:
        await _actives(stage, kinds)
        for number in range(rounds):
            for kind in kinds:
                standby = stage.make(kind, f"{kind}-standby-{number}")
                results[kind].append(await _round(standby))
    tables = []
    for column, (title, unit) in enumerate(
        (("process start to STANDBY line", "ms"), ("resident memory of a standby", "MiB"))
    ):
        series = {
            kind: Series(kind, tuple(values[column] for values in results[kind])) for kind in kinds
        }
        tables.append(comparison(title, unit, ours=series.get("ours"), go=series["go"]))
    return "\n\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only-go", action="store_true")
    options = parser.parse_args()
    kinds = ["go"] if options.only_go else ["ours", "go"]
    print(asyncio.run(measure(options.rounds, kinds)))


if __name__ == "__main__":
    main()
