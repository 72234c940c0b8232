"""What the measuring client alone contributes: its longest gap while nothing fails.

A Go rootcoord is asked for some seconds, on a quiet machine and beside one busy process per core.

    python -m benchmarks.client_floor --seconds 5
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import ExitStack

from benchmarks.report import Series, table
from benchmarks.stage import Stage, staged
from testing.daemon import Daemon, RoleDaemon
from testing.hammer import Hammer
from testing.sightings import Gap, Method, Sightings

QUANTILES = (50.0, 99.0, 100.0)
HEAD = (
    *("machine", "answers", "p50 us", "p99 us", "max us"),
    *("longest gap ms", "client stalled in it ms", "in all ms"),
)


def _busy(stage: Stage, stack: ExitStack, count: int) -> None:
    for number in range(count):
        name, argv = f"busy-{number}", [sys.executable, "-c", "while True: pass"]
        process = Daemon(name, argv, folder=stage.folder, env={})
        stack.callback(process.kill)
        process.start()


async def _watch(stage: Stage, server: RoleDaemon, seconds: float, busy: int) -> Sightings:
    with ExitStack() as stack:
        _busy(stage, stack, busy)
        name = f"hammer-{busy}-busy"
        async with Hammer([server.address], folder=stage.folder, name=name) as hammer:
            await hammer.wait_success(server.address)
            await asyncio.sleep(seconds)
        return hammer.sightings()


def _row(name: str, seen: Sightings) -> list[str]:
    answers = seen.successes(Method.ALLOC_TIMESTAMP)
    took_us = Series(name, tuple((one.received_s - one.sent_s) * 1e6 for one in answers))
    gap = seen.longest_gap(Method.ALLOC_TIMESTAMP)
    whole = Gap(answers[0].sent_s, answers[-1].received_s)
    return [
        name,
        str(len(answers)),
        *(f"{took_us.percentile(quantile):.0f}" for quantile in QUANTILES),
        f"{gap.length_s * 1000:.1f}",
        f"{seen.stalled_s(gap) * 1000:.1f}",
        f"{seen.stalled_s(whole) * 1000:.1f}",
    ]


async def measure(seconds: float) -> str:
    """The table."""
    rows = [list(HEAD)]
    async with staged() as stage:
        server = stage.make("go", "server")
        server.start()
        await server.wait_active()
        cores = os.cpu_count() or 1
        for name, busy in (("quiet", 0), (f"{cores} busy processes", cores)):
            rows.append(_row(name, await _watch(stage, server, seconds, busy)))
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    print(asyncio.run(measure(parser.parse_args().seconds)))


if __name__ == "__main__":
    main()
