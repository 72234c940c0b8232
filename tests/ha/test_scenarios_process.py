"""S1 to S5: the active's process ends, hands over, dies, or stands still; the short forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.play import play


@pytest.mark.parametrize("name", ["S1", "S2", "S3", "S3-host", "S4", "S4-ttl", "S5"])
async def test_scenario(name: str, tmp_path: Path) -> None:
    await play(name, tmp_path)
