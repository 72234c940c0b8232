"""How the tests are shared among pytest's workers (`-n 3`).

What waits (real processes) goes first and side by side; what computes fills the cores behind it.
Tests of one file run on one worker, in their order, so that they share its fixtures; those of
`tests/ha` share nothing, take long, and are dealt one by one. Scenarios of the rig are dealt in two
lanes: each keeps a core busy, and a third beside them would be a fault that nobody ordered.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

ORDER: Final = ("cluster", "ha", "rig", "contract", "deploy", "model", "wire", "unit")
DEALT_SINGLY: Final = frozenset({"ha"})
SCENARIOS: Final = "tests/ha/test_scenarios_"
LANES: Final = 2
SHARED: Final = {
    "tests/cluster/test_store_against_go.py": "twins",
    "tests/cluster/test_wire_against_go.py": "twins",
}
"""Files whose tests share a fixture of the session."""


def folder_of(nodeid: str) -> str:
    """The folder of `tests/` that a test lies in: `unit`."""
    return Path(nodeid.partition("::")[0]).parts[1]


def scope_of(nodeid: str) -> str:
    """Tests of the same scope run on the same worker."""
    file = nodeid.partition("::")[0]
    if file.startswith(SCENARIOS):
        return f"scenarios {zlib.crc32(nodeid.encode()) % LANES}"
    return nodeid if folder_of(nodeid) in DEALT_SINGLY else SHARED.get(file, file)


def in_order(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """By folder; those of a worker keep the order they were written in."""
    return sorted(items, key=lambda item: ORDER.index(folder_of(item.nodeid)))


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Deals scopes to workers, in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False
    made: Any = LoadScopeScheduling(config, log)
    made._split_scope = scope_of
    return made
