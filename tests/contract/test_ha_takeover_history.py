"""The history that leaders write, and who may take an active key that is free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.txn import Txn, put
from milvus_coord.ha.election.decisions import HEAD_START_S
from milvus_coord.ha.election.handover import revoke_predecessor_lease
from milvus_coord.ha.election.takeover_history import KEPT
from milvus_coord.ha.pair.takeover import Cause, Takeover
from milvus_coord.model.errors import CoordError
from testing.ha_world import World, a_world, pair
from testing.role_world import KEYS

OLD = Takeover(1, 7, "h:7", 8, "h:8", Cause.STOPPED, 3, served=True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def test_a_term_is_written_twice_and_says_how_long_it_took(world: World) -> None:
    node = world.start()
    await world.until(lambda: node.active)
    await world.until(lambda: world.history()[-1].served)
    (kv,) = world.etcd.store.range(KEYS.takeover(node.term.epoch), b"")
    assert kv.version == 2
    entry = Takeover.decode(kv.key, kv.value)
    assert (entry.cause, entry.epoch, entry.server_id) == (Cause.FIRST, node.term.epoch, 1)
    assert (entry.from_server_id, entry.from_address) == (0, "")
    assert entry.without_service_ms is None, "nobody knows since when nobody served"
    assert set(entry.phases) >= {"claim", "serve"}
    assert abs(entry.at_ms - world.clock.wall_ns() // 1_000_000) < 1000


async def test_a_hand_over_counts_from_when_work_was_refused(world: World) -> None:
    first, second = await pair(world)
    first.role.finish_s = 3.0
    first.stop.set()
    stopped_s = world.clock.boottime()
    await world.until(lambda: second.active)
    without_s = world.clock.boottime() - stopped_s
    await world.until(lambda: world.history()[-1].served)
    entry = world.history()[-1]
    assert entry.cause is Cause.STOPPED
    assert list(entry.phases)[:3] == ["stop", "detect", "claim"]
    assert entry.phases["stop"] >= 3000
    assert entry.without_service_ms == pytest.approx(without_s * 1000, abs=150)


async def test_a_lease_that_ends_counts_from_the_last_beat(world: World) -> None:
    first, second = await pair(world, early_per_minute=0)
    await world.pass_time(1.0)
    first.freeze()
    frozen_s = world.clock.boottime()
    await world.until(lambda: second.active)
    without_s = world.clock.boottime() - frozen_s
    await world.until(lambda: world.history()[-1].served)
    entry = world.history()[-1]
    assert entry.cause is Cause.LEASE_ENDED
    assert entry.without_service_ms == pytest.approx(without_s * 1000, abs=300)


async def test_a_key_that_was_free_before_we_came_counts_by_the_wall_clock(world: World) -> None:
    first = world.start()
    await world.until(lambda: first.active)
    first.stop.set()
    await world.until(world.tasks[first].done)
    await world.pass_time(20.0)
    second = world.start()
    await world.until(lambda: second.active)
    await world.until(lambda: world.history()[-1].served)
    entry = world.history()[-1]
    assert entry.cause is Cause.STOPPED
    assert entry.without_service_ms == pytest.approx(20_000, abs=1000)


async def test_a_term_that_never_serves_is_written_once(world: World) -> None:
    node = world.start()
    node.role.trouble = CoordError("no luck")
    await world.until(lambda: len(world.history()) >= 2)
    first = world.history()[0]
    assert (first.served, first.phases) == (False, {})
    node.role.trouble = None
    await world.until(lambda: node.active)


@pytest.mark.parametrize("there", [KEPT - 1, KEPT, KEPT + 7])
async def test_history_is_bounded(world: World, there: int) -> None:
    for epoch in range(1, there + 1):
        value = replace(OLD, epoch=epoch).encode()
        await world.etcd.txn(Txn((), (put(KEYS.takeover(epoch), value),)))
    node = world.start()
    await world.until(lambda: node.active)
    await world.until(lambda: world.history()[-1].served)
    kept = world.history()
    assert len(kept) == KEPT
    assert kept[-1].epoch == node.term.epoch
    assert [entry.epoch for entry in kept[:-1]] == list(range(there + 2 - KEPT, there + 1))


async def test_a_history_far_too_long_shrinks_from_term_to_term(world: World) -> None:
    for epoch in range(1, KEPT + 81):
        value = replace(OLD, epoch=epoch).encode()
        await world.etcd.txn(Txn((), (put(KEYS.takeover(epoch), value),)))
    node = world.start()
    await world.until(lambda: node.active)
    await world.until(lambda: world.history()[-1].served)
    assert KEPT < len(world.history()) < KEPT + 81
    await world.delete(KEYS.active)
    await world.until(lambda: not node.active)
    await world.until(lambda: node.active and world.history()[-1].served)
    assert len(world.history()) == KEPT


async def test_the_lease_of_the_one_before_is_ended_whatever_etcd_says(world: World) -> None:
    lease = (await world.etcd.lease_grant(600)).id
    await world.put(b"left behind", b"x", lease=lease)
    down = Unavailable("no leader", sent=False)
    world.etcd.fail_next("lease_revoke", down, times=2)
    world.etcd.fail_next("lease_revoke", down, applied=True)
    ended: list[bool] = []
    served = asyncio.Event()

    async def clear() -> None:
        await revoke_predecessor_lease(world.etcd, world.clock, lease, served)
        ended.append(True)

    task = asyncio.create_task(clear())
    await world.pass_time(2.0)
    assert world.value(b"left behind") is not None, "clients come first"
    served.set()
    await world.until(lambda: bool(ended), within_s=5)
    await task
    assert world.value(b"left behind") is None


async def test_a_free_k_is_left_to_a_ready_one_for_a_while(world: World) -> None:
    first, unready = await pair(world)
    unready.role.obstacles = ("mirror is not synced",)
    third = world.start()
    third.role.has_port = False  # it could not take the active key either, for the moment
    await world.until(lambda: third.standby)
    await world.delete(KEYS.active)
    first.etcd.partition()
    await world.pass_time(HEAD_START_S / 2)
    assert unready.role.calls == []
    third.role.has_port = True
    await world.until(lambda: third.active, within_s=2.0)
    assert unready.role.calls == []


async def test_but_not_for_ever(world: World) -> None:
    first, unready = await pair(world)
    unready.role.obstacles = ("mirror is not synced",)
    first.etcd.partition()
    await world.delete(KEYS.active)
    freed_s = world.clock.boottime()
    await world.until(lambda: "listen" in unready.role.calls)
    assert HEAD_START_S <= world.clock.boottime() - freed_s <= HEAD_START_S + 0.3


async def test_who_is_alone_takes_a_free_k_though_it_is_not_ready(world: World) -> None:
    node = world.start()
    node.role.obstacles = ("mirror is not synced",)
    began_s = world.clock.boottime()
    await world.until(lambda: node.active)
    assert world.clock.boottime() - began_s < HEAD_START_S / 2
