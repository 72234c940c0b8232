"""`milvus history`: what it prints."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from milvus_coord.cli.ha_history import as_table, facts_of
from milvus_coord.ha.pair.operator_records import Pause
from milvus_coord.ha.pair.role_snapshot import RoleSnapshot
from milvus_coord.ha.pair.takeover import Cause, Takeover

AT_MS = 1_795_485_425_148
PHASES = {"detect": 20133.2, "claim": 1.24, "recover": 12.4, "wait": 998.0, "serve": 3.3}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def entry(epoch: int, **more: object) -> Takeover:
    fields: dict[str, object] = {
        "server_id": 8,
        "address": "127.0.0.1:53101",
        "from_server_id": 7,
        "from_address": "127.0.0.1:53100",
        "cause": Cause.SWITCHOVER,
        "at_ms": AT_MS,
        "phases": {"claim": 1.24, "serve": 3.3},
        "served": True,
    }
    return Takeover(epoch=epoch, **{**fields, **more})  # type: ignore[arg-type]  # as the caller says


def lines(*entries: Takeover, count: int = 20, unreadable: tuple[str, ...] = ()) -> list[str]:
    snapshot = RoleSnapshot("rootcoord", history=entries, unreadable=unreadable)
    return as_table([snapshot], count, AT_MS + 90_000).splitlines()


def test_the_newest_comes_first() -> None:
    table = lines(
        entry(4, served=False),
        entry(6, from_server_id=0, cause=Cause.FIRST, phases={}, served=False),
        entry(102, at_ms=AT_MS + 60_000),
        entry(110, cause=Cause.LEASE_ENDED, phases=PHASES, at_ms=AT_MS + 88_000),
    )
    head, *rows = table
    assert head.split() == [
        *("WHEN", "AGO", "EPOCH", "FROM", "LEADER", "CAUSE"),
        *("DETECT", "CLAIM", "RECOVER", "WAIT", "SERVE", "DOWN"),
    ]
    assert [" ".join(row.split()) for row in rows] == [
        "11-24 01:58:33 2s 110 7 8 127.0.0.1:53101 lease-ended 20133 1.2 12 998 3.3 21148",
        "11-24 01:58:05 30s 102 7 8 127.0.0.1:53101 switchover - 1.2 - - 3.3 >4.5",
        "11-24 01:57:05 90s 6 - 8 127.0.0.1:53101 first - - - - - never",
        "11-24 01:57:05 90s 4 7 8 127.0.0.1:53101 switchover - 1.2 - - 3.3 never",
    ]
    assert max(map(len, table)) <= 100


def test_who_led_the_last_time_is_told_when_the_key_was_free() -> None:
    came_back = entry(9, server_id=12, from_server_id=0, cause=Cause.FIRST)
    failed = entry(7, server_id=11, served=False)
    assert [row.split()[4] for row in lines(entry(4), failed, came_back)[1:]] == ["(8)", "7", "7"]
    (role,) = facts_of([RoleSnapshot("rootcoord", history=(entry(4), failed, came_back))], 9)[
        "roles"
    ]
    assert [one["led_before"] for one in role["history"]] == [8, 7, 7]


def test_the_last_n() -> None:
    assert [row.split()[3] for row in lines(entry(1), entry(2), entry(3), count=2)[1:]] == [
        "3",
        "2",
    ]


def test_several_roles_have_a_column() -> None:
    snapshots = [RoleSnapshot(role, history=(entry(4),)) for role in ("rootcoord", "datacoord")]
    table = as_table(snapshots, 20, AT_MS).splitlines()
    assert [row.split()[0] for row in table] == ["ROLE", "rootcoord", "datacoord"]


def test_unreadable_entries_are_named() -> None:
    bad = ("x/ha/rootcoord/history/1 is not readable: b'{}'", "x/session/rootcoord-1 holds none")
    assert lines(entry(4), unreadable=bad)[-1] == f"rootcoord  {bad[0]}"
    assert lines(unreadable=bad) == [
        "no takeover of rootcoord is on record",
        f"rootcoord  {bad[0]}",
    ]


def test_who_asked_why_and_a_pause_are_told() -> None:
    asked = entry(4, asked_by="ann@here", reason="moving\x1b hosts")
    pause = Pause("bob@there", AT_MS, "later", AT_MS + 600_000)
    snapshot = RoleSnapshot("rootcoord", history=(asked, entry(9)), pause=pause)
    assert as_table([snapshot], 20, AT_MS + 60_000).splitlines()[-2:] == [
        "rootcoord  4 was asked for by ann@here: moving\N{REPLACEMENT CHARACTER} hosts",
        "rootcoord  paused by bob@there since 2026-11-24 01:57:05 (1 min ago)"
        " until 2026-11-24 02:07:05: later",
    ]
    assert "asked for" not in as_table([snapshot], 1, AT_MS)


def test_json() -> None:
    snapshots = [RoleSnapshot("rootcoord", history=(entry(4), entry(9)))]
    (role,) = json.loads(json.dumps(facts_of(snapshots, 1)))["roles"]
    (newest,) = role["history"]
    assert (newest["epoch"], newest["cause"], newest["total_ms"]) == (9, "switchover", 4.54)
    assert newest["without_service_ms"] is None
