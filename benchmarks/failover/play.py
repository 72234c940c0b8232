"""One run: a client that never lets go, a fault, and what the client saw until all was mended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

from benchmarks.failover import judge
from benchmarks.failover.cases import Case
from benchmarks.failover.faults import FAULTS, Fault
from benchmarks.failover.pair import Pair
from benchmarks.failover.runs import Folder, Key, Run
from benchmarks.failover.scene import Scene
from milvus_coord.ha.pair.takeover import Takeover
from testing.daemon import boottime_s
from testing.hammer import Hammer
from testing.sightings import Method, Sightings

BEFORE_S = 0.3
AFTER_S = 0.3
HEALED_S = 0.5
_BEYOND_TTL_S = {"ours": 15.0, "go": 40.0}
MIRRORS_EVERY = 10  # runs, where a digest of the metadata takes seconds


class Play:
    """Runs of one case with the pair that is on the scene."""

    def __init__(self, scene: Scene, case: Case, key: Key, folder: Folder) -> None:
        self._scene, self._case, self._key, self._folder = scene, case, key, folder
        self._fault: Fault = FAULTS[case.fault]

    @property
    def done(self) -> int:
        """How many runs there are already."""
        return len(self._folder.of(self._key))

    async def run(self, number: int) -> Run:
        """One more run, added to the folder; both are up again when it returns."""
        scene, case, pair = self._scene, self._case, self._scene.pair
        await scene.prepare()
        before = await judge.history(scene)
        hammer = Hammer(
            [pair.active.address, pair.standby.address],
            folder=scene.folder,
            name=f"hammer-{case.name}-{self._key.kind}-{number}",
        )
        async with hammer:
            await hammer.wait_success(pair.active.address)
            await asyncio.sleep(BEFORE_S)
            began_ms, struck_s = time.time_ns() // 1_000_000, boottime_s()
            await self._fault.strike(scene)
            trouble = await self._watch(hammer, pair, struck_s)
        seen = hammer.sightings()
        (scene.folder / f"{hammer.name}.records").unlink()
        notes = [
            f"{role.name} ended with {role.exit_code}"
            for role in (pair.active, pair.standby)
            if not role.running and not (role is pair.active and self._fault.exit_code is not None)
        ]
        run = await self._judged(number, seen, struck_s, began_ms, before, trouble, notes)
        mended = replace(run, unsafe=(*run.unsafe, *await self._mend(run, trouble)))
        tries = (one for one in seen.tries if one.sent_s > struck_s - 0.5)
        return self._folder.add(mended, tries, struck_s)

    async def _watch(self, hammer: Hammer, pair: Pair, struck_s: float) -> str:
        """Until a client is served again and the fault is healed; what did not come to pass."""
        limit_s = self._key.ttl_s + _BEYOND_TTL_S[self._key.kind]
        try:
            if self._case.fails_over:
                await self._served(hammer, struck_s, limit_s, pair.standby.address)
            else:
                await asyncio.sleep(self._fault.lasts_s)
                await self._served(hammer, boottime_s(), limit_s, *hammer.addresses)
        except AssertionError as error:
            trouble = str(error).splitlines()[0]
        else:
            trouble = ""
        await asyncio.sleep(AFTER_S)
        if self._fault.heal is not None:
            await self._fault.heal(self._scene)
            await asyncio.sleep(HEALED_S)
        return trouble

    async def _served(
        self, hammer: Hammer, after_s: float, limit_s: float, *addresses: str
    ) -> None:
        """Until one of them gives a timestamp. Raises AssertionError."""
        waiting = [
            asyncio.create_task(
                hammer.wait_success(
                    address, after_s=after_s, within_s=limit_s, methods=[Method.ALLOC_TIMESTAMP]
                ),
                name=f"success {address}",
            )
            for address in addresses
        ]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _judged(
        self,
        number: int,
        seen: Sightings,
        struck_s: float,
        began_ms: int,
        before: Mapping[int, Takeover],
        trouble: str,
        notes: list[str],
    ) -> Run:
        pair, case = self._scene.pair, self._case
        old, new = pair.active.address, pair.standby.address
        try:
            answered_s = seen.first_success(new, after_s=struck_s, method=Method.ALLOC_TIMESTAMP)
        except ValueError:
            answered_s = None
        gap = seen.longest_gap(Method.ALLOC_TIMESTAMP, after_s=struck_s)
        unsafe = judge.of_client(seen, *((old, new) if case.fails_over else (old,)))
        takeover = None
        if self._key.kind == "ours":
            troubles, takeover = await judge.of_history(self._scene, case, before)
            unsafe += [*troubles, *notes]
        return Run(
            key=self._key,
            number=number,
            gap_ms=gap.length_s * 1000,
            answer_ms=(answered_s - struck_s) * 1000 if answered_s else None,
            stalled_ms=seen.stalled_s(gap) * 1000,
            errors=judge.errors(seen, old, struck_s, answered_s or gap.ended_s),
            unsafe=(*unsafe, *([trouble] if trouble and self._key.kind == "ours" else [])),
            notes=tuple(notes),
            takeover=takeover,
            served=not trouble,
            old=old,
            new=new,
            began_ms=began_ms,
        )

    async def _mend(self, run: Run, trouble: str) -> list[str]:
        """The pair as before, roles changed; from scratch where anything went another way."""
        pair = self._scene.pair
        other_way = trouble or (run.unsafe and self._key.kind == "ours")
        if other_way or (self._key.kind == "go" and self._fault.exit_code is None):
            await pair.renew()
            return []
        try:
            if self._case.fails_over:
                await self._revive(pair)
            if self._key.kind == "ours" and not (
                self._key.collections and run.number % MIRRORS_EVERY
            ):
                return await judge.of_mirrors(pair.active, pair.standby)
        except AssertionError as error:
            await pair.renew()
            return [str(error).splitlines()[0]]
        return []

    async def _revive(self, pair: Pair) -> None:
        if self._fault.exit_code is None:
            await pair.revive(pair.active)
        else:
            await pair.end_and_revive(pair.active)
        pair.swap()
