"""How long a client goes without timestamps when the active rootcoord gets SIGTERM: ours and Go's.

Each round ends the active one of a pair under a client that asks both addresses every 2 ms, then
starts it again as the standby of the next round. Ours and Go's take turns.

    python -m benchmarks.failover_sigterm --rounds 20
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys

from benchmarks.report import Series, comparison
from benchmarks.stage import Stage, staged
from tests.support.daemon import boottime_s
from tests.support.hammer import Hammer
from tests.support.sightings import Method

SETTLE_S = 0.5
BEFORE_S = 0.3


class Pair:
    """An active and a standby rootcoord that change places each round."""

    def __init__(self, stage: Stage, kind: str) -> None:
        self._folder, self._kind = stage.folder, kind
        self.active, self.standby = (stage.make(kind, f"{kind}-{number}") for number in range(2))
        self._rounds = itertools.count()

    async def start(self) -> None:
        self.active.start()
        await self.active.wait_active()
        self.standby.start()
        await self.standby.wait_standby()

    async def round(self) -> tuple[float, float]:
        """One hand-over: longest time without a timestamp, and signal to first answer; both ms."""
        old, new = self.active, self.standby
        name = f"hammer-{self._kind}-{next(self._rounds)}"
        await asyncio.sleep(SETTLE_S)
        async with Hammer([old.address, new.address], folder=self._folder, name=name) as hammer:
            await hammer.wait_success(old.address)
            await asyncio.sleep(BEFORE_S)
            signalled_s = boottime_s()
            old.terminate()
            await hammer.wait_success(
                new.address, after_s=signalled_s, methods=[Method.ALLOC_TIMESTAMP]
            )
        seen = hammer.sightings()
        seen.check_tenures(old.address, new.address)
        seen.check_values(Method.ALLOC_TIMESTAMP)
        gap = seen.longest_gap(Method.ALLOC_TIMESTAMP, after_s=signalled_s)
        answered_s = seen.first_success(
            new.address, after_s=signalled_s, method=Method.ALLOC_TIMESTAMP
        )
        await old.wait_exit(within_s=40)
        old.start()
        await old.wait_standby()
        self.active, self.standby = new, old
        return gap.length_s * 1000, (answered_s - signalled_s) * 1000


async def measure(rounds: int, kinds: list[str]) -> str:
    """The tables."""
    results: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    async with staged() as stage:
        pairs = {kind: Pair(stage, kind) for kind in kinds}
        for pair in pairs.values():
            await pair.start()
        for number in range(rounds):
            for kind, pair in pairs.items():
                results[kind].append(await pair.round())
                gap_ms, answer_ms = results[kind][-1]
                print(
                    f"round {number + 1} {kind}: gap {gap_ms:.1f} ms, answer {answer_ms:.1f} ms",
                    file=sys.stderr,
                )
    tables = []
    for column, title in enumerate(("longest time without a timestamp", "SIGTERM to first answer")):
        series = {
            kind: Series(kind, tuple(values[column] for values in results[kind])) for kind in kinds
        }
        tables.append(comparison(title, "ms", ours=series.get("ours"), go=series["go"]))
    return "\n\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only-go", action="store_true")
    options = parser.parse_args()
    kinds = ["go"] if options.only_go else ["ours", "go"]
    print(asyncio.run(measure(options.rounds, kinds)))


if __name__ == "__main__":
    main()
