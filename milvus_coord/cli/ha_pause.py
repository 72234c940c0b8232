"""`milvus pause ROLE` and `milvus resume ROLE`."""

from __future__ import annotations

from dataclasses import asdict

from milvus_coord.cli.connection import Connection
from milvus_coord.cli.format import local_time, myself, printable, span
from milvus_coord.cli.output import rendered
from milvus_coord.ha.pair import operator_requests
from milvus_coord.ha.pair.operator_records import Pause
from milvus_coord.ha.pair.operator_requests import RequestRefused
from milvus_coord.ha.pair.snapshot_reducer import read_role


async def pause(connection: Connection, role: str, reason: str, *, for_s: int, output: str) -> int:
    """Pause a role for `for_s` seconds (0: until it is resumed) and say what was; the exit code.

    Pausing twice changes nothing. Raises RequestRefused when there is nobody to pause.
    """
    await _registered(connection, role)
    now_ms = connection.clock.wall_ns() // 1_000_000
    until_ms = now_ms + for_s * 1000 if for_s else 0
    request = Pause(myself(), now_ms, reason, until_ms)
    found, new = await operator_requests.pause(connection.etcd, connection.keys(role), request)
    if not new:
        text = f"{role} is paused already: {described(found, now_ms)}\n"
    else:
        end = f"until {local_time(found.until_ms)}, or" if for_s else "until"
        text = (
            f"{role} is paused: no early replacement and no switchover {end} "
            f"`milvus resume {role}`\n"
            "a leader whose lease ends, or that stops in order, is still replaced\n"
        )
    facts = {"role": role, "changed": new, "paused": asdict(found)}
    print(rendered(facts, output, text), end="")
    return 0


async def resume(connection: Connection, role: str, *, output: str) -> int:
    """End a pause and say what was; the exit code. Resuming twice changes nothing.

    Raises RequestRefused when nothing is paused and nobody is there.
    """
    now_ms = connection.clock.wall_ns() // 1_000_000
    found = await operator_requests.resume(connection.etcd, connection.keys(role))
    if found is None:
        await _registered(connection, role)
        text = f"{role} is not paused\n"
    else:
        text = f"{role} is resumed; it was paused {described(found, now_ms)}\n"
    facts = {"role": role, "changed": found is not None, "was": asdict(found) if found else None}
    print(rendered(facts, output, text), end="")
    return 0


async def _registered(connection: Connection, role: str) -> None:
    snapshot = await read_role(connection.etcd, connection.keys(role))
    if not snapshot.instances:
        raise RequestRefused(f"no {role} has registered below {connection.meta_root}/session")


def described(pause: Pause, now_ms: int) -> str:
    """By whom, since when, until when, and why."""
    since = ""
    if pause.since_ms:
        ago = span((now_ms - pause.since_ms) / 1000)
        since = f" since {local_time(pause.since_ms)} ({ago} ago)"
    until = f" until {local_time(pause.until_ms)}" if pause.until_ms else ""
    because = f": {pause.reason}" if pause.reason else ""
    return printable(f"by {pause.by}{since}{until}{because}")
