"""`milvus history [ROLE]`: who took over from whom, when, why, and how long it took."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from milvus_coord.cli.connection import Connection
from milvus_coord.cli.format import age, local_time, millis, printable
from milvus_coord.cli.ha_pause import described
from milvus_coord.cli.output import rendered
from milvus_coord.cli.table import table
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.snapshot_reducer import read_role
from milvus_coord.ha.pair.takeover import Takeover


async def history(connection: Connection, roles: Sequence[str], *, count: int, output: str) -> int:
    """Print the last `count` takeovers of each role, the newest first. The exit code."""
    snapshots = [await read_role(connection.etcd, connection.keys(role)) for role in roles]
    text = as_table(snapshots, count, connection.clock.wall_ns() // 1_000_000)
    print(rendered(facts_of(snapshots, count), output, text), end="")
    return 0


def as_table(snapshots: Sequence[RoleSnapshot], count: int, now_ms: int) -> str:
    """One line a takeover, times in milliseconds; one more for each that did not come to serve."""
    entries = [(one, entry) for one in snapshots for entry in _last(one, count)]
    notes = [f"{one.role}  {text}" for one in snapshots for text in _notes(one, count, now_ms)]
    if not entries:
        roles = ", ".join(snapshot.role for snapshot in snapshots)
        return "\n".join([f"no takeover of {roles} is on record", *notes]) + "\n"
    fullest = sorted((entry.phases for _, entry in entries), key=len, reverse=True)
    phases = list(dict.fromkeys(name for each in fullest for name in each))
    several = len({one.role for one, _ in entries}) > 1
    head = ("WHEN", "AGO", "EPOCH", "FROM", "LEADER", "CAUSE", *map(str.upper, phases), "DOWN")
    rows = [_row(entry, one.takeover_before(entry), phases, now_ms) for one, entry in entries]
    if several:
        head = ("ROLE", *head)
        rows = [(one.role, *row) for (one, _), row in zip(entries, rows, strict=True)]
    numbers = " ".join(["WHEN", "AGO", "EPOCH", "FROM", *map(str.upper, phases), "DOWN"])
    return "\n".join([*table(head, rows, right=numbers), *notes]) + "\n"


def _last(snapshot: RoleSnapshot, count: int) -> list[Takeover]:
    return list(reversed(snapshot.history))[:count]


def _notes(snapshot: RoleSnapshot, count: int, now_ms: int) -> list[str]:
    """Who asked for switchovers, a pause in force, and what could not be read."""
    asked = [
        f"{entry.epoch} was asked for by {entry.asked_by}"
        + (f": {entry.reason}" if entry.reason else "")
        for entry in _last(snapshot, count)
        if entry.asked_by
    ]
    paused = [f"paused {described(snapshot.pause, now_ms)}"] if snapshot.pause else []
    return [printable(text) for text in (*asked, *paused, *_lost(snapshot))]


def _lost(snapshot: RoleSnapshot) -> list[str]:
    return [text for text in snapshot.unreadable if "/history/" in text]


def _row(
    entry: Takeover, before: Takeover | None, phases: Sequence[str], now_ms: int
) -> tuple[str, ...]:
    took = [millis(entry.phases[name]) if name in entry.phases else "-" for name in phases]
    return (
        local_time(entry.at_ms)[len("2026-") :],
        age((now_ms - entry.at_ms) / 1000),
        str(entry.epoch),
        _from(entry, before),
        f"{entry.server_id} {entry.address}",
        entry.cause.value,
        *took,
        _down(entry),
    )


def _from(entry: Takeover, before: Takeover | None) -> str:
    """Whom it took over from; in brackets who led the last time, when nobody held the key."""
    if entry.from_server_id:
        return str(entry.from_server_id)
    return f"({before.server_id})" if before else "-"


def _down(entry: Takeover) -> str:
    if not entry.served:
        return "never"
    least = "" if entry.without_service_ms is not None else ">"
    return least + millis(sum(entry.phases.values()))


def facts_of(snapshots: Sequence[RoleSnapshot], count: int) -> dict[str, Any]:
    """`{"roles": [{"role", "history": [...], "paused", "unreadable": [...]}]}`, newest first."""
    roles = [
        {
            "role": snapshot.role,
            "history": [
                _plain(entry, snapshot.takeover_before(entry)) for entry in _last(snapshot, count)
            ],
            "paused": dataclasses.asdict(snapshot.pause) if snapshot.pause else None,
            "unreadable": _lost(snapshot),
        }
        for snapshot in snapshots
    ]
    return {"roles": roles}


def _plain(entry: Takeover, before: Takeover | None) -> dict[str, Any]:
    fields = {one.name: getattr(entry, one.name) for one in dataclasses.fields(entry)}
    total_ms = round(sum(entry.phases.values()), 3)
    return {
        **fields,
        "cause": entry.cause.value,
        "phases": dict(entry.phases),
        "total_ms": total_ms,
        "without_service_ms": entry.without_service_ms,
        "led_before": entry.from_server_id or (before.server_id if before else None),
    }
