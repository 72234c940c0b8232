"""Search all worlds breadth first: the shortest way to a broken promise, or that there is none."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from tests.model.begin import beginning
from tests.model.moves import Step, Table
from tests.model.rules import Bounds, Rules
from tests.model.world import HAND, Phase, World

Trace = list[tuple[Step | None, World]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a search has found: `promise` is the broken one, "" for none, `trace` the way to it."""

    promise: str
    trace: Trace
    worlds: int
    moves: int
    seconds: float


def search(
    rules: Rules,
    bounds: Bounds,
    *,
    begin: Callable[[Bounds], World] = beginning,
    progress: bool = False,
) -> Verdict:
    """Look at every world that can be reached; with `progress` also for one without a way out.

    That one is looked for when all worlds are known.
    """
    started = time.perf_counter()
    table, first = Table(rules, bounds), begin(bounds)
    index: dict[World, int] = {first: 0}
    order: list[World] = [first]
    parents = array("i", [-1])
    steps: list[Step | None] = [None]
    sources, targets = array("i"), array("i")
    moves, at = 0, 0

    def verdict(promise: str, last: int) -> Verdict:
        seconds = time.perf_counter() - started
        return Verdict(promise, trace(last) if promise else [], len(order), moves, seconds)

    def trace(last: int) -> Trace:
        way: Trace = []
        while last >= 0:
            way.append((steps[last], order[last]))
            last = parents[last]
        return way[::-1]

    while at < len(order):
        for step, after in table.next(order[at]):
            moves += 1
            known = index.setdefault(after, len(order))
            if known == len(order):
                order.append(after)
                parents.append(at)
                steps.append(step)
                if after.done.broken:
                    return verdict(after.done.broken, known)
            if progress and step.good and len(after.late) <= len(order[at].late):
                sources.append(at)
                targets.append(known)
        at += 1
    if progress and (lost := _without_way_out(order, sources, targets)) is not None:
        return verdict("no leader can serve any more", lost)
    return verdict("", 0)


def _without_way_out(order: list[World], sources: array[int], targets: array[int]) -> int | None:
    """The first world from which good moves lead to no serving leader, though they should."""
    before: dict[int, list[int]] = {}
    for source, target in zip(sources, targets, strict=True):
        before.setdefault(target, []).append(source)
    ahead = [number for number, world in enumerate(order) if _serves(world)]
    reached = set(ahead)
    while ahead:
        for number in before.get(ahead.pop(), ()):
            if number not in reached:
                reached.add(number)
                ahead.append(number)
    for number, world in enumerate(order):
        for_a_person = world.etcd.nospace or _is_junk_over_go(world)
        if number not in reached and not for_a_person and world.left.wins:
            return number
    return None


def _is_junk_over_go(world: World) -> bool:
    active = world.etcd.active
    return active is not None and active.of_go and active.holder == HAND


def _serves(world: World) -> bool:
    active = world.etcd.active
    return active is not None and any(
        node.phase is Phase.ACTIVE and node.serve and node.epoch == active.mod
        for node in world.nodes
    )
