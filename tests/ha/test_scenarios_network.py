"""S6 to S9: edges between the active, the standby and etcd are cut; the short forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.play import play


@pytest.mark.parametrize("name", ["S6", "S7", "S8", "S9", "S9-clients"])
async def test_scenario(name: str, tmp_path: Path) -> None:
    await play(name, tmp_path)
