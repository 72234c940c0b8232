"""`milvus status` on a terminal: what fits, what is coloured, what has happened of late."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from rich.console import Console

from milvus_coord.cli.ha_status_events import events
from milvus_coord.cli.ha_status_screen import EVENTS_KEPT, SPARE, Screen, fitting
from milvus_coord.cli.ha_status_show import HEAD, RoleSeen, rows_of
from milvus_coord.etcd.memory.memory import MemoryEtcd
from milvus_coord.ha.pair.keys import Keys
from milvus_coord.ha.pair.operator_records import Pause
from milvus_coord.ha.pair.snapshot_reducer import read_role
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.runtime.clock import ManualClock
from testing.fake_pair import META_ROOT, fake_pair

NOW_MS = 1_700_000_100_000
KEYS = Keys(META_ROOT, "rootcoord")


@pytest.fixture
def etcd() -> MemoryEtcd:
    return MemoryEtcd(ManualClock())


async def seen(etcd: MemoryEtcd, silent_s: Mapping[int, float] | None = None) -> list[RoleSeen]:
    return [RoleSeen("rootcoord", await read_role(etcd, KEYS), silent_s or {})]


def screen(
    monkeypatch: pytest.MonkeyPatch, *, width: int = 120, no_color: bool = False
) -> tuple[Screen, io.StringIO]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, width=width, highlight=False, color_system="standard"
    )
    return Screen(META_ROOT, console), out


async def test_what_happens_is_told_once(etcd: MemoryEtcd) -> None:
    a, b = await fake_pair(etcd)
    steps = [await seen(etcd)]
    await b.say(ready=False, why=("mirror is not synced",))
    steps.append(await seen(etcd))
    await b.say(ready=True, why=())
    steps.append(await seen(etcd))
    await b.lead(Cause.SILENT, a, {"claim": 1.0})
    await a.leave()
    steps.append(await seen(etcd))
    (now,) = steps[-1]
    paused = replace(now, snapshot=replace(now.snapshot, pause=Pause("ann", NOW_MS)))
    steps += [[paused], [now]]
    told = [events(one, two, NOW_MS) for one, two in pairwise(steps)]
    assert told[:2] == [
        ["rootcoord  8 is not ready: mirror is not synced"],
        ["rootcoord  8 is ready"],
    ]
    assert told[2][0].startswith("rootcoord  8 (127.0.0.1:53108) leads, silent, epoch ")
    assert told[2][1:] == [
        "rootcoord  8 serves, 1.0 ms",
        "rootcoord  7 (127.0.0.1:53107) has gone",
    ]
    (paused_now,), ended = told[3:]
    assert paused_now.startswith("rootcoord  paused by ann since ")
    assert ended == ["rootcoord  not paused any more"]
    assert events(steps[0], steps[0], NOW_MS) == []


async def test_a_role_that_appears(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    told = events([], await seen(etcd), NOW_MS)
    assert told[0].startswith("rootcoord  7 (127.0.0.1:53107) leads, first, epoch ")
    assert told[1:] == [
        "rootcoord  7 (127.0.0.1:53107) has come",
        "rootcoord  8 (127.0.0.1:53108) has come",
        "rootcoord  8 is ready",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
async def test_no_line_is_longer_than_the_screen(
    etcd: MemoryEtcd, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    await fake_pair(etcd)
    drawn, out = screen(monkeypatch, width=width, no_color=True)
    drawn.show(await seen(etcd), NOW_MS)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    assert "ID" in lines[0].split()
    assert "7" in lines[1].split()
    assert lines[1].rstrip().find("127.0.0.1:53107") >= 0


async def test_the_least_important_columns_go_first(etcd: MemoryEtcd) -> None:
    await fake_pair(etcd)
    rows = rows_of(await seen(etcd))
    shown = [fitting(rows, width) for width in range(200, 10, -1)]
    assert shown[0] == list(HEAD)
    gone = [name for one, two in pairwise(shown) for name in one if name not in two]
    assert gone == list(SPARE)


async def test_colour_is_for_those_who_want_it(
    etcd: MemoryEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fake_pair(etcd)
    for no_color in (False, True):
        drawn, out = screen(monkeypatch, no_color=no_color)
        drawn.show(await seen(etcd), NOW_MS)
        assert ("\x1b[32m" in out.getvalue()) is not no_color


async def test_watching_keeps_the_last_events(
    etcd: MemoryEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b = await fake_pair(etcd)
    drawn, out = screen(monkeypatch, no_color=True)
    with drawn.live() as live:
        for number in range(EVENTS_KEPT + 3):
            drawn.draw(live, await seen(etcd), NOW_MS + number * 1000)
            await b.say(ready=bool(number % 2), why=() if number % 2 else (f"reason {number}",))
    last = out.getvalue().rpartition("Ctrl-C ends")[2]
    assert last.count("  rootcoord  8 is ") == EVENTS_KEPT
    assert "reason 0" not in last


async def test_an_etcd_that_is_silent_is_named_and_not_the_instances(
    etcd: MemoryEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b = await fake_pair(etcd)
    drawn, out = screen(monkeypatch, no_color=True)
    with drawn.live() as live:
        drawn.draw(live, await seen(etcd), NOW_MS)
        await b.say(ready=False, why=("old",))
        drawn.draw(live, await seen(etcd), NOW_MS + 3000, "etcd has not answered for 3 s")
        silent = out.getvalue().rpartition("Ctrl-C ends")[2]
        await b.say(ready=True, why=())
        drawn.draw(live, await seen(etcd), NOW_MS + 9000)
    last = out.getvalue().rpartition("Ctrl-C ends")[2]
    assert "etcd has not answered for 3 s" in silent
    assert "8 is not ready\n" not in silent
    assert "etcd has not answered" not in last
    assert re.findall("etcd (does not answer|answers again)", last) == [
        "does not answer",
        "answers again",
    ]


async def test_names_of_others_move_no_cursor(
    etcd: MemoryEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = await fake_pair(etcd)
    await a.say(why=("\x1b[2J[red]boom[/red]",))
    drawn, out = screen(monkeypatch, no_color=True)
    drawn.show(await seen(etcd), NOW_MS)
    assert "\x1b[2J" not in out.getvalue()
    assert "[red]boom[/red]" in out.getvalue()
