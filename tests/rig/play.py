"""Play one scenario and judge the run by every checker."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import json
import math
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from testing.mirror_check import check_mirrors
from testing.sightings import Gap, Method
from tests.rig import checkers
from tests.rig.coordinator import Coordinator
from tests.rig.registry import Scenario, scenarios
from tests.rig.rig import Rig, rig

_ANSWERS_MIN: Final = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """One run: SAFE without violations; `surprises` are what else went wrong.

    `rtos_s` has the cost of each fault by its words.
    """

    name: str
    violations: tuple[str, ...]
    surprises: tuple[str, ...]
    rtos_s: tuple[tuple[str, float], ...]
    took_s: float

    @property
    def safe(self) -> bool:
        return not self.violations

    @property
    def word(self) -> str:
        """SAFE, UNSAFE, or FAILED: nothing was unsafe, but the run was not what it should be."""
        return "UNSAFE" if self.violations else "FAILED" if self.surprises else "SAFE"


async def play(name: str, folder: Path) -> Verdict:
    """The short form in a test, which fails on any word but SAFE; skips what cannot be played."""
    wanted = scenarios()[name]
    if wanted.obstacle:
        pytest.skip(wanted.obstacle)
    verdict = await judge(wanted, folder)
    print(json.dumps(dataclasses.asdict(verdict)))
    told = [f"{name} is {verdict.word}, see {folder}", *verdict.violations, *verdict.surprises]
    assert verdict.word == "SAFE", "\n".join(told)
    return verdict


async def judge(wanted: Scenario, folder: Path, *, long: bool = False, seed: int = 0) -> Verdict:
    """Play it; what goes wrong is a violation, and then `folder` holds the histories."""
    began = time.monotonic()
    violations: list[str] = []
    surprises: list[str] = []
    rtos: tuple[tuple[str, float], ...] = ()
    try:
        async with rig(wanted, folder, long=long, seed=seed) as running:
            try:
                await wanted.run(running)
                await running.working.aclose()
                leader = await running.one_leads()
            except Exception:
                surprises.append(traceback.format_exc())
                with suppress(Exception):  # so that what there is can be judged
                    await running.store.caught_up()
            else:
                violations += await _settled(running, leader)
            violations += _checked(running)
            surprises += _unexpected(running)
            rtos = tuple(_rtos(running))
            if violations or surprises:
                _keep(running)
    except* Exception as group:
        surprises += ["".join(traceback.format_exception(each)) for each in group.exceptions]
    if violations or surprises:
        (folder / "violations.txt").write_text("\n".join([*violations, *surprises]))
    took_s = round(time.monotonic() - began, 1)
    return Verdict(wanted.name, tuple(violations), tuple(surprises), rtos, took_s)


async def _settled(running: Rig, leader: Coordinator) -> list[str]:
    """All that the clients know is true, and in memory what is in etcd; else the contradictions."""
    found = []
    try:
        if running.statements is not None:
            await running.scene.verify(running.statements.callers, leader.address)
        await check_mirrors(running.etcd.endpoints, *running.coordinators)
        await running.store.caught_up()
    except Exception:
        found.append(traceback.format_exc())
    return found


def _checked(running: Rig) -> Iterator[str]:
    seen, store = running.hammer.sightings(), running.store.history
    instances = {each.address: each.peer.endpoint for each in running.coordinators}
    yield from running.violations
    yield from checkers.check_store(store)
    yield from checkers.check_values(seen, at_least=0)
    yield from checkers.check_one_at_a_time(seen, store, instances)
    if running.statements is not None:
        kept = running.statements.registers
        yield from checkers.check_registers(store, kept.writes, kept.reads, instances)


def _unexpected(running: Rig) -> Iterator[str]:
    yield from running.surprises
    if running.expected:
        causes = [cause.value for cause in running.expected]
        yield from checkers.check_history(running.store.history, causes)
    if len(running.hammer.sightings().successes()) < _ANSWERS_MIN:
        yield "there were too few answers to judge"
    if running.statements is not None:
        kept = running.statements.registers
        if not any(write.acked_s for write in kept.writes) or not kept.reads:
            yield "no register was written and read"


def _rtos(running: Rig) -> Iterator[tuple[str, float]]:
    """The longest time without a timestamp in each fault, without what the client itself lost."""
    seen = running.hammer.sightings()
    answered = sorted(one.received_s for one in seen.successes(Method.ALLOC_TIMESTAMP))
    for fault in running.faults:
        later = answered[bisect.bisect(answered, fault.began_s) :]
        gaps = [
            Gap(before_s, after_s)
            for before_s, after_s in itertools.pairwise([fault.began_s, *later])
            if before_s <= fault.ended_s
        ]
        costs = [gap.length_s - seen.stalled_s(gap) for gap in gaps]
        yield fault.words, round(max(costs, default=math.inf), 3)


def _keep(running: Rig) -> None:
    """All histories as JSON lines beside the logs."""
    folder = running.folder
    _lines(folder / "store.jsonl", running.store.history.changes)
    _lines(folder / "sightings.jsonl", running.hammer.sightings().tries)
    _lines(folder / "faults.jsonl", running.faults)
    if running.statements is not None:
        _lines(folder / "writes.jsonl", running.statements.registers.writes)
        _lines(folder / "reads.jsonl", running.statements.registers.reads)


def _lines(path: Path, entries: Iterable[Any]) -> None:
    with path.open("w") as file:
        for entry in entries:
            file.write(json.dumps(dataclasses.asdict(entry), default=_text) + "\n")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
