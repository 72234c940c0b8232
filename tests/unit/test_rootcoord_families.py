"""The families of RPCs make up the whole service."""

from __future__ import annotations

from collections import Counter

from milvus_coord.coordinators.rootcoord.role import FAMILIES
from milvus_coord.pb.milvus.proto import rootcoord
from milvus_coord.role.rpcs.waiting import WaitingRpcs

EVERY_RPC = set(rootcoord.RootCoordBase().__mapping__())


def test_each_of_the_47_rpcs_is_served_by_one_family() -> None:
    served = Counter(path for family in FAMILIES for path in family.__new__(family).__mapping__())
    assert len(EVERY_RPC) == 47
    assert set(served) == EVERY_RPC
    assert set(served.values()) == {1}


def test_all_are_answered_while_a_term_begins() -> None:
    assert set(WaitingRpcs.__new__(WaitingRpcs).__mapping__()) == EVERY_RPC
