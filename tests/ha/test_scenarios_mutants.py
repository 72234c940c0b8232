"""The rig finds out a coordinator whose safety was taken away: its word SAFE means something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.rig.play import judge
from tests.rig.registry import scenarios

_ROOT: Final = Path(__file__).parents[2]
_MUTANTS: Final = {
    "writes are not fenced": (
        "S6",
        """
from milvus_coord.ha.election import fence
from milvus_coord.ha.election.fence import Fence
begin = Fence.__init__
def unfenced(self, *args, **more):
    begin(self, *args, **more)
    self.compares = ()
Fence.__init__ = unfenced
fence.is_ours = lambda active, epoch: True
""",
    ),
    "the serve lease never lapses": (
        "S9-clients",
        """
from milvus_coord.ha.election.serve_lease import ServeLease
ServeLease.require = lambda self: None
ServeLease.holds = property(lambda self: True)
""",
    ),
}


@pytest.mark.parametrize("what", _MUTANTS)
async def test_mutant_is_found(what: str, tmp_path: Path) -> None:
    name, code = _MUTANTS[what]
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "sitecustomize.py").write_text(code)
    wanted = scenarios()[name]
    path = {"PYTHONPATH": f"{changed}:{_ROOT}"}
    verdict = await judge(replace(wanted, env={**wanted.env, **path}), tmp_path / "run")
    assert verdict.word == "UNSAFE", f"nobody noticed that {what}: {verdict}"
