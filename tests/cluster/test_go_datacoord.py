"""A datacoord of Go Milvus 2.2.16 finds the active rootcoord by its session and takes its time."""

from __future__ import annotations

import json
import time

import pytest

from testing.cluster import Troupe
from testing.etcd import EtcdMember
from testing.go_milvus import GoRole
from testing.grpc_wire import unary
from tests.cluster.saved_bounds import HOUR_NS, TIMESTAMPS, store

pytestmark = [pytest.mark.etcd, pytest.mark.go]

MINUTE_S = 60


@pytest.mark.parametrize("kind", ["go", "ours"])
async def test_flush_is_sealed_at_a_time_of_the_active_rootcoord_before_and_after_a_change(
    troupe: Troupe, etcd: EtcdMember, kind: str
) -> None:
    """That rootcoord's time is an hour ahead, so a seal time can come from nowhere else."""
    await store(etcd, TIMESTAMPS, time.time_ns() + HOUR_NS)
    active, standby = troupe.make(kind), troupe.make(kind)
    datacoord = troupe.go("datacoord")
    active.start()
    await active.wait_active()
    standby.start()
    datacoord.start()
    await datacoord.wait_active()
    await standby.wait_standby()

    session = json.loads(
        await etcd.ctl("get", "--print-value-only", "by-dev/meta/session/rootcoord")
    )
    assert session["Address"].endswith(f":{active.port}")
    first_s = await seal_time_s(datacoord)
    assert abs(first_s - time.time() - HOUR_NS / 1e9) < MINUTE_S

    active.terminate()
    await standby.wait_active()
    second_s = await seal_time_s(datacoord)
    assert first_s <= second_s < first_s + MINUTE_S


async def seal_time_s(datacoord: GoRole) -> int:
    """Unix seconds of a timestamp taken from rootcoord; Go answers 0 when it got none."""
    answer = await unary(datacoord.address, "data.DataCoord/Flush", timeout_s=20.0, collectionID=1)
    assert answer.status.error_code == 0, answer.status.reason
    return int(answer.timeOfSeal)
