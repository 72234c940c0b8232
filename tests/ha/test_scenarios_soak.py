"""S33: random scenarios one after the other, by the program that plays them for hours."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 15
CHEAP = "S1,S3,S4,S6,S9,S28,S31"


@pytest.mark.timeout(120)
async def test_chaos(tmp_path: Path) -> None:
    """It ends by itself after the scenario that its time runs out in; all of them are SAFE."""
    argv = [sys.executable, "-m", "tests.rig.chaos", f"--hours={SECONDS / 3600}", "--short"]
    playing = await asyncio.create_subprocess_exec(
        *argv, f"--only={CHEAP}", f"--keep={tmp_path}", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await playing.communicate()
    finally:
        if playing.returncode is None:
            playing.kill()
    assert playing.returncode == 0, said.decode()
    assert " SAFE" in said.decode()
