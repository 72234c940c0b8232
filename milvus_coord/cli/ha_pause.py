"""`milvus pause ROLE` and `milvus resume ROLE`."""

from __future__ import annotations

from milvus_coord.cli.connection import Connection
from milvus_coord.cli.format import local_time, myself, printable, span
from milvus_coord.ha.pair import operator_requests
from milvus_coord.ha.pair.operator_records import Pause


async def pause(connection: Connection, role: str, reason: str) -> int:
    """Pause a role and say what was; the exit code. Pausing twice changes nothing."""
    now_ms = connection.clock.wall_ns() // 1_000_000
    request = Pause(myself(), now_ms, reason)
    found = await operator_requests.pause(connection.etcd, connection.keys(role), request)
    if found is not None:
        print(f"{role} is paused already: {described(found, now_ms)}")
        return 0
    print(f"{role} is paused: no early replacement and no switchover until `milvus resume {role}`")
    print("a leader whose lease ends, or that stops in order, is still replaced")
    return 0


async def resume(connection: Connection, role: str) -> int:
    """End a pause and say what was; the exit code. Resuming twice changes nothing."""
    now_ms = connection.clock.wall_ns() // 1_000_000
    found = await operator_requests.resume(connection.etcd, connection.keys(role))
    if found is None:
        print(f"{role} is not paused")
    else:
        print(f"{role} is resumed; it was paused {described(found, now_ms)}")
    return 0


def described(pause: Pause, now_ms: int) -> str:
    """By whom, since when, and why."""
    since = ""
    if pause.since_ms:
        ago = span((now_ms - pause.since_ms) / 1000)
        since = f" since {local_time(pause.since_ms)} ({ago} ago)"
    because = f": {pause.reason}" if pause.reason else ""
    return printable(f"by {pause.by}{since}{because}")
