"""The families of RPCs make up the whole service."""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest.mock import MagicMock

from milvus_coord.coordinators.rootcoord.rpcs import serving, waiting
from milvus_coord.pb.milvus.proto import rootcoord
from milvus_coord.runtime.clock import ManualClock

ANY: Any = MagicMock(clock=ManualClock())
EVERY_RPC = set(rootcoord.RootCoordBase().__mapping__())


def test_each_of_the_47_rpcs_is_served_by_one_family() -> None:
    families = serving(ANY, ANY, ANY)
    served = Counter(path for family in families for path in family.__mapping__())
    assert len(EVERY_RPC) == 47
    assert set(served) == EVERY_RPC
    assert set(served.values()) == {1}


def test_all_are_answered_while_a_term_begins() -> None:
    assert {path for service in waiting(ANY) for path in service.__mapping__()} == EVERY_RPC
