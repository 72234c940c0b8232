"""Go Milvus 2.2.16 and ours read each other's saved bounds of timestamps and ids."""

from __future__ import annotations

import time

import pytest

from testing.cluster import Troupe
from testing.etcd import EtcdMember
from testing.grpc_wire import unary
from tests.cluster.saved_bounds import HOUR_NS, IDS, TIMESTAMPS, store, stored

pytestmark = [pytest.mark.etcd, pytest.mark.go]

LOGICAL_BITS = 18


@pytest.mark.parametrize(
    "kinds", [("go", "go"), ("ours", "go"), ("go", "ours", "ours", "go")], ids="-".join
)
async def test_each_start_begins_above_the_bound_that_the_one_before_saved(
    troupe: Troupe, etcd: EtcdMember, kinds: tuple[str, ...]
) -> None:
    """The first bounds are an hour ahead, so that the wall clock cannot explain the values."""
    for key in (TIMESTAMPS, IDS):
        await store(etcd, key, time.time_ns() + HOUR_NS)
    for kind in kinds:
        bounds_ns = {key: await stored(etcd, key) for key in (TIMESTAMPS, IDS)}
        role = troupe.make(kind)
        role.start()
        await role.wait_active()
        timestamp = await unary(role.address, "rootcoord.RootCoord/AllocTimestamp", count=1)
        number = await unary(role.address, "rootcoord.RootCoord/AllocID", count=1)
        for key, value in ((TIMESTAMPS, timestamp.timestamp), (IDS, number.ID)):
            value_ms = value >> LOGICAL_BITS
            assert bounds_ns[key] // 1_000_000 <= value_ms, f"{kind} began below {key}"
            assert value_ms < await stored(etcd, key) // 1_000_000, f"{kind} did not save {key}"
        assert await role.stop() == 0
