"""S10 to S16: members of etcd die, all of it stops, its history is compacted; the short forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.play import play

NAMES = ["S10", "S11", "S12", "S12-host", "S12-late", "S13", "S14", "S15", "S16"]


@pytest.mark.parametrize("name", NAMES)
async def test_scenario(name: str, tmp_path: Path) -> None:
    await play(name, tmp_path)
