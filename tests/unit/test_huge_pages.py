"""Memory in huge pages: what is moved, and when."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from milvus_coord.app.memory import GROWN_BYTES, HugePages
from milvus_coord.runtime.huge_pages import collapse, resident_bytes

BYTES = 96 << 20


def _huge_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages")) << 10


def test_what_is_held_lies_in_huge_pages_and_is_the_same() -> None:
    held = bytearray(b"0123456789abcdef" * (BYTES // 16))
    before = _huge_bytes()

    moved = collapse()

    if not moved:
        pytest.skip("this kernel moves no memory to huge pages")
    assert moved >= BYTES * 0.9
    assert before >= BYTES * 0.9 or _huge_bytes() - before >= BYTES * 0.9
    assert held == b"0123456789abcdef" * (BYTES // 16)


def test_what_is_nearly_empty_takes_no_more_memory() -> None:
    collapse()
    before = resident_bytes()

    collapse()

    assert resident_bytes() - before < GROWN_BYTES


@pytest.mark.parametrize("error", [psutil.AccessDenied(), OSError(38, "no smaps"), ValueError()])
def test_where_memory_cannot_be_seen_nothing_is_moved(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(psutil.Process, "memory_maps", fails)
    monkeypatch.setattr(psutil.Process, "memory_info", fails)
    assert collapse() == 0
    if not isinstance(error, ValueError):
        assert resident_bytes() == 0


async def test_memory_is_moved_when_it_rests_and_again_when_it_has_grown() -> None:
    resident, moves = 0, 0

    def move() -> int:
        nonlocal moves
        moves += 1
        return resident

    pages = HugePages(lambda: resident, move)
    seen = []
    for mib in (100, 200, 300, 300, 300, 320, 340, 340, 200, 340):
        resident = mib << 20
        await pages.turn()
        seen.append(moves)

    assert seen == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
