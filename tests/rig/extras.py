"""What single scenarios need beyond the rig: settings of the next start, waiting, who leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from milvus_coord.ha.pair.keys import Keys
from tests.rig.coordinator import Coordinator
from tests.rig.rig import Rig
from tests.rig.store_history import META, Holding

PATIENT: Final = {"HA_CHALLENGE_TIMEOUT": "3000"}
"""For scenarios in which no early replacement is to be: a busy machine shall not make one."""

KEYS: Final = Keys(META.rstrip("/"), "rootcoord")
_LOOK_S: Final = 0.02


def set_env(coordinator: Coordinator, *, without: tuple[str, ...] = (), **env: str) -> None:
    """The environment of its next start."""
    for name in without:
        coordinator.env.pop(name, None)
    coordinator.env.update(env)


def run_module(coordinator: Coordinator, module: str) -> None:
    """Its next start runs `python -m module run rootcoord` in place of the daemon itself."""
    argv = coordinator.argv
    argv[argv.index("-m") + 1] = module


async def until(holds: Callable[[], Awaitable[bool]], what: str, *, within_s: float = 20.0) -> None:
    """Ask again and again until it holds."""
    deadline = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < deadline, f"not so in {within_s} s: {what}"
        await asyncio.sleep(_LOOK_S)


async def changes_hands(rig: Rig, before: Holding, *, within_s: float = 20.0) -> Holding:
    """The holding after `before`, as soon as somebody holds the active key in it."""
    deadline = time.monotonic() + within_s
    while (now := rig.store.holding) is None or now.epoch == before.epoch:
        assert time.monotonic() < deadline, f"the active key is still as it was at {before.epoch}"
        await asyncio.sleep(_LOOK_S)
    return now


def holding(rig: Rig) -> Holding:
    """Who holds the active key now; somebody must."""
    found = rig.store.holding
    assert found is not None, "nobody holds the active key"
    return found


async def spent(rig: Rig, since: int) -> int:
    """How many epochs were begun after revision `since`."""
    history = await rig.store.caught_up()
    return sum(each.epoch > since for each in history.holdings())
