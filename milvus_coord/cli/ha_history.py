"""`milvus history [ROLE]`: who took over from whom, when, why, and how long it took."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from milvus_coord.cli.connection import Connection
from milvus_coord.cli.format import age, local_time, millis, printable
from milvus_coord.cli.table import table
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.snapshot_reducer import read_role
from milvus_coord.ha.pair.takeover import Cause, Takeover

CAUSES: Final[Mapping[Cause, str]] = {
    Cause.FIRST: "first",
    Cause.STOPPED: "stopped",
    Cause.SWITCHOVER: "switchover",
    Cause.FAILED: "gave up",
    Cause.PROCESS_DIED: "process died",
    Cause.UNREACHABLE: "unreachable",
    Cause.SILENT: "silent",
    Cause.UNPROVEN: "cut off etcd",
    Cause.LEASE_ENDED: "lease ended",
    Cause.JUNK: "junk in key",
    Cause.REGAINED: "regained",
}
"""What was wrong with the one before, in two words."""


async def history(connection: Connection, roles: Sequence[str], *, count: int, json: bool) -> int:
    """Print the last `count` takeovers of each role, the newest first. The exit code."""
    snapshots = [await read_role(connection.etcd, connection.keys(role)) for role in roles]
    if json:
        print(as_json(snapshots, count), end="")
    else:
        print(as_table(snapshots, count, connection.clock.wall_ns() // 1_000_000), end="")
    return 0


def as_table(snapshots: Sequence[RoleSnapshot], count: int, now_ms: int) -> str:
    """One line a takeover, times in milliseconds; one more for each that did not come to serve."""
    entries = [(snapshot.role, entry) for snapshot in snapshots for entry in _last(snapshot, count)]
    unreadable = [f"{one.role}  {printable(text)}" for one in snapshots for text in _lost(one)]
    if not entries:
        roles = ", ".join(snapshot.role for snapshot in snapshots)
        return "\n".join([f"no takeover of {roles} is on record", *unreadable]) + "\n"
    fullest = sorted((entry.phases for _, entry in entries), key=len, reverse=True)
    phases = list(dict.fromkeys(name for each in fullest for name in each))
    several = len({role for role, _ in entries}) > 1
    head = ("WHEN", "AGO", "EPOCH", "FROM", "LEADER", "CAUSE", *map(str.upper, phases), "MS")
    rows = [_row(entry, phases, now_ms) for _, entry in entries]
    if several:
        head = ("ROLE", *head)
        rows = [(role, *row) for (role, _), row in zip(entries, rows, strict=True)]
    numbers = " ".join(["WHEN", "AGO", "EPOCH", "FROM", *map(str.upper, phases), "MS"])
    return "\n".join([*table(head, rows, right=numbers), *unreadable]) + "\n"


def _last(snapshot: RoleSnapshot, count: int) -> list[Takeover]:
    return list(reversed(snapshot.history))[:count]


def _lost(snapshot: RoleSnapshot) -> list[str]:
    return [text for text in snapshot.unreadable if "/history/" in text]


def _row(entry: Takeover, phases: Sequence[str], now_ms: int) -> tuple[str, ...]:
    took = [millis(entry.phases[name]) if name in entry.phases else "-" for name in phases]
    return (
        local_time(entry.at_ms)[len("2026-") :],
        age((now_ms - entry.at_ms) / 1000),
        str(entry.epoch),
        str(entry.from_server_id or "-"),
        f"{entry.server_id} {entry.address}",
        CAUSES[entry.cause],
        *took,
        millis(sum(entry.phases.values())) if entry.served else "never",
    )


def as_json(snapshots: Sequence[RoleSnapshot], count: int) -> str:
    """`{"roles": [{"role", "history": [...], "unreadable": [...]}]}`, the newest first."""
    roles = [
        {
            "role": snapshot.role,
            "history": [_plain(entry) for entry in _last(snapshot, count)],
            "unreadable": _lost(snapshot),
        }
        for snapshot in snapshots
    ]
    return json.dumps({"roles": roles}, indent=2, ensure_ascii=False) + "\n"


def _plain(entry: Takeover) -> dict[str, Any]:
    fields = {one.name: getattr(entry, one.name) for one in dataclasses.fields(entry)}
    total_ms = round(sum(entry.phases.values()), 3)
    return {
        **fields,
        "cause": entry.cause.value,
        "phases": dict(entry.phases),
        "total_ms": total_ms,
    }
