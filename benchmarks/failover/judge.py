"""What must hold after every run; each check gives sentences, none when all is well."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.failover.cases import Case
from benchmarks.failover.scene import Scene
from milvus_coord.ha.pair.takeover import Takeover
from testing.daemon import RoleDaemon
from testing.ours import OurRole
from testing.sightings import ALLOCATIONS, Method, Outcome, Sightings

_SERVED_WITHIN_S = 3.0
_EQUAL_WITHIN_S = 5.0
_LOOK_S = 0.02
_LINES = 3


def of_client(seen: Sightings, *addresses: str) -> list[str]:
    """One active at a time, in this order; no value twice, none below an earlier one."""
    checks: tuple[Callable[[], object], ...] = (
        lambda: seen.check_tenures(*addresses),
        lambda: seen.check_values(Method.ALLOC_TIMESTAMP),
        lambda: seen.check_values(Method.ALLOC_ID),
    )
    return [trouble for check in checks if (trouble := _trouble(check))]


def errors(seen: Sightings, address: str, since_s: float, until_s: float) -> dict[str, int]:
    """Allocations at `address` that failed in between, by how."""
    kinds = Counter(
        one.outcome.name.lower()
        for one in seen.tries
        if one.address == address
        and one.method in ALLOCATIONS
        and one.outcome is not Outcome.OK
        and since_s <= one.sent_s <= until_s
    )
    return dict(kinds)


async def history(scene: Scene) -> Mapping[int, Takeover]:
    """All takeovers that etcd knows, by epoch."""
    found = await scene.client.range(scene.keys.history)
    takeovers = [Takeover.decode(kv.key, kv.value) for kv in found.kvs]
    return {takeover.epoch: takeover for takeover in takeovers}


async def of_history(
    scene: Scene, case: Case, before: Mapping[int, Takeover]
) -> tuple[list[str], Mapping[str, Any] | None]:
    """Exactly one takeover more, for an expected cause, that came to serve; or none at all."""
    deadline = time.monotonic() + (_SERVED_WITHIN_S if case.fails_over else 0.0)
    while True:
        now = await history(scene)
        new = [now[epoch] for epoch in sorted(now.keys() - before.keys())]
        if (new and new[-1].served) or time.monotonic() > deadline:
            break
        await asyncio.sleep(_LOOK_S)
    causes = [takeover.cause for takeover in new]
    shown = {**dataclasses.asdict(new[-1]), "cause": new[-1].cause.value} if new else None
    if not case.fails_over:
        return [f"somebody took over: {_names(causes)}"] if new else [], shown
    if len(new) != 1:
        return [f"{len(new)} takeovers in the history: {_names(causes)}"], shown
    troubles = []
    if causes[0] not in case.causes:
        troubles.append(f"cause {causes[0].value}")
    if not new[0].served:
        troubles.append("the history does not say that it served")
    return troubles, shown


async def of_mirrors(*roles: RoleDaemon) -> list[str]:
    """Active and standby hold the same metadata; writes on their way are waited for."""
    deadline = time.monotonic() + _EQUAL_WITHIN_S
    while True:
        try:
            digests = [await _mirror(role) for role in roles if isinstance(role, OurRole)]
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            return [f"no digest of a mirror: {error!r}"]
        if len(set(digests)) == 1:
            return []
        if time.monotonic() > deadline:
            return [f"mirrors differ: {digests}"]
        await asyncio.sleep(_LOOK_S)


async def _mirror(role: OurRole) -> str:
    code, body = await role.http("/mirror", timeout_s=5.0)
    if code != 200:
        raise ValueError(f"GET /mirror: {code}")
    return str(json.loads(body)["digest"])


def _names(causes: Sequence[Any]) -> str:
    return ", ".join(cause.value for cause in causes) or "none"


def _trouble(check: Callable[[], object]) -> str:
    try:
        check()
    except AssertionError as error:
        first, *more = str(error).splitlines() or [repr(error)]
        return " / ".join([first, *more[:_LINES], *([f"{len(more)} lines"] * (len(more) > _LINES))])
    return ""
