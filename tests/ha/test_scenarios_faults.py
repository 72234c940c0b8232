"""S17 to S31: trouble of etcd, of clocks, of processes and of their successors; the short forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.play import play
from tests.rig.registry import scenarios

NAMES = [
    *("S17", "S18", "S19", "S20", "S21", "S22", "S23", "S24", "S25"),
    *("S26-claim", "S26-recover", "S26-serve", "S26-over", "S26-release"),
    *("S27-create", "S27-change", "S27-drop", "S27-parts"),
    *("S28", "S29", "S30", "S31"),
]

pytestmark = pytest.mark.timeout(150)
"""Each takes some fifteen seconds; on a busy machine three times as long."""


@pytest.mark.parametrize("name", NAMES)
async def test_scenario(name: str, tmp_path: Path) -> None:
    if name not in scenarios():
        pytest.skip("it needs a C compiler (S18), librdkafka (S29)")
    await play(name, tmp_path)


@pytest.mark.go
async def test_go_before_and_between(tmp_path: Path) -> None:
    if "S30-go" not in scenarios():
        pytest.skip("it needs Go Milvus 2.2.16 and librdkafka")
    await play("S30-go", tmp_path)
