"""Named places in the code where a test may let the process crash, stop, pause or fail.

`MILVUS_COORD_FAILPOINTS` arms them, for example
`after_claim=crash;ddl_created_half=pause:500@2`: name, action, and after `@` the only time that it
fires, counted from 1. Unarmed, a failpoint costs one look into an empty dictionary.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from milvus_coord.model.errors import CoordError
from milvus_coord.telemetry.log import log

VARIABLE: Final = "MILVUS_COORD_FAILPOINTS"

KNOWN: Final[Mapping[str, str]] = {
    # The life of a term, in order.
    "before_replace": "a challenge was not answered, the active is about to be replaced",
    "after_challenge": "the nonce of a challenge is in etcd",
    "after_claim": "the active key is won",
    "after_listen": "the port listens, calls are answered with NotReadyServe",
    "after_recover_bounds": "the allocators are above their stored bounds",
    "after_catch_up": "the mirror has all that came before the term",
    "after_defaults": "what every Milvus has is there",
    "before_serve": "the leader before us has stopped",
    "after_serve": "the term serves",
    "before_hand_over": "all unfenced work has ended, an heir is about to get the active key",
    "after_hand_over": "the active key is given to an heir",
    "before_release": "the active key is about to be deleted",
    # Statements that take more than one transaction, or effects beside their transaction.
    "ddl_create_announced": "readers know of the collection, nothing is in etcd yet",
    "ddl_create_half": "the collection is in etcd as CREATING",
    "ddl_create_watched": "datacoord watches the channels, the collection is still CREATING",
    "ddl_drop_half": "the proxies forgot the collection, which is not DROPPING yet",
    "ddl_drop_done": "the collection is DROPPING, its cleanup has not begun",
    "ddl_alter_half": "the new properties are in etcd, nobody was told",
    "ddl_rename_half": "the proxies forgot the old name, which still stands in etcd",
    "ddl_partition_half": "the proxies forgot the collection, its partition is not written yet",
    "ddl_cleanup_half": "a dropped collection's data is gone, its records are not",
    "parts_between": "one transaction of a change in several is written, the rest may not be",
}
"""Every failpoint there is, and what is true where it stands."""

_ITEM: Final = re.compile(r"(\w+)=(crash|error|stop|pause:(\d+))(?:@([1-9]\d*))?")


class BadFailpoints(CoordError):
    """The variable cannot be read; the text says which part of it, and what there is."""


class FailpointError(CoordError):
    """What a failpoint armed with `error` raises."""


class Action(Enum):
    """What happens at an armed failpoint."""

    CRASH = "crash"  # kill -9 of this process
    STOP = "stop"  # SIGSTOP of this process
    PAUSE = "pause"  # this task waits, others go on
    ERROR = "error"  # raise FailpointError


@dataclass(slots=True)
class Armed:
    """One failpoint's setting; `only` is the time it fires, 0 for every time."""

    action: Action
    pause_ms: int = 0
    only: int = 0
    passed: int = 0

    def fires(self) -> bool:
        """Count one passing; whether it is one that fires."""
        self.passed += 1
        return self.only in (0, self.passed)


def parse(text: str) -> dict[str, Armed]:
    """Read the variable's value. Raises BadFailpoints for anything that is not understood."""
    armed: dict[str, Armed] = {}
    for item in filter(None, (part.strip() for part in text.split(";"))):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise BadFailpoints(
                f"{VARIABLE}: {item!r} is not NAME=ACTION or NAME=ACTION@N with an action of "
                "crash, error, stop or pause:MS"
            )
        name, action, pause_ms, only = match.groups()
        if name not in KNOWN:
            raise BadFailpoints(
                f"{VARIABLE}: there is no failpoint {name!r}, only {', '.join(KNOWN)}"
            )
        if name in armed:
            raise BadFailpoints(f"{VARIABLE}: {name!r} is named twice")
        kind = Action(action.partition(":")[0])
        armed[name] = Armed(kind, int(pause_ms or 0), int(only or 0))
    return armed


def check() -> None:
    """To be called at start: raises BadFailpoints, and warns when any failpoint is armed."""
    parse(os.environ.get(VARIABLE, ""))
    if _armed:
        log.warn("failpoints are armed, this process is meant to fail", names=list(_armed))


async def failpoint(name: str) -> None:
    """Let the test decide what happens here. Raises FailpointError when armed with `error`."""
    if (armed := _armed.get(name)) is None or not armed.fires():
        return
    if armed.action is Action.PAUSE:
        log.warn("failpoint pauses", name=name, ms=armed.pause_ms)
        await asyncio.sleep(armed.pause_ms / 1000)
        return
    log.warn("failpoint fires", name=name, action=armed.action.value)
    if armed.action is Action.ERROR:
        raise FailpointError(f"failpoint {name}")
    os.kill(os.getpid(), signal.SIGKILL if armed.action is Action.CRASH else signal.SIGSTOP)


def _from_environment() -> dict[str, Armed]:
    """What the process was started with; nothing when it cannot be read, which `check` reports."""
    try:
        return parse(os.environ.get(VARIABLE, ""))
    except BadFailpoints:
        return {}


_armed: Final[dict[str, Armed]] = _from_environment()
