"""What an instance says about itself: when, and why it could not lead."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.ha.election.status_publisher import EVERY_S, LOOK_S
from milvus_coord.ha.pair.instance_status import InstanceStatus
from milvus_coord.model.errors import CoordError
from milvus_coord.model.states import Phase
from testing.ha_world import Node, World, a_world, pair
from testing.role_world import KEYS

ODD = "port 53100 is taken: held by process 12"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


def said(world: World, node: Node) -> InstanceStatus:
    status = world.status(node)
    assert status is not None
    return status


def revision(world: World, node: Node) -> int:
    (kv,) = world.etcd.store.range(KEYS.status(node.server_id), b"")
    return kv.mod_revision


async def test_an_active_and_a_standby_say_who_they_are(world: World) -> None:
    first, second = await pair(world)
    await world.pass_time(1.5)
    active, standby = said(world, first), said(world, second)
    assert (active.phase, active.ready, active.why) == (Phase.ACTIVE, False, ())
    assert active.epoch == first.term.epoch
    assert active.serve_age_ms is not None
    assert active.serve_age_ms < 1000
    assert (standby.phase, standby.ready, standby.why) == (Phase.STANDBY, True, ())
    assert (standby.epoch, standby.serve_age_ms) == (0, None)
    assert standby.address == second.role.address
    for node in (first, second):
        (kv,) = world.etcd.store.range(KEYS.status(node.server_id), b"")
        session = node.runner.session
        assert session is not None
        assert kv.lease == session.lease


async def test_said_each_second_and_not_more_often(world: World) -> None:
    _, second = await pair(world)
    await world.pass_time(1.0)
    said_at: dict[int, float] = {}

    def heard_four() -> bool:
        said_at.setdefault(revision(world, second), world.clock.boottime())
        return len(said_at) == 4

    await world.until(heard_four, within_s=5.0)
    for earlier, later in itertools.pairwise(list(said_at.values())[1:]):
        assert EVERY_S <= later - earlier <= EVERY_S + 2 * LOOK_S


async def test_changes_are_said_within_a_fifth_of_a_second(world: World) -> None:
    _, second = await pair(world)
    await world.pass_time(0.3)
    changes: tuple[tuple[str, ...], ...] = ((ODD,), (), (ODD, "mirror is not synced"))
    for obstacles in changes:
        second.role.obstacles = obstacles
        began_s = world.clock.boottime()
        await world.until(lambda: said(world, second).why == second.role.obstacles, within_s=0.3)
        assert world.clock.boottime() - began_s <= 0.2 + 1e-6
        assert said(world, second).ready == (not obstacles)
        assert second.runner.ready == (not obstacles)


async def test_who_rests_after_a_failed_activation_says_so(world: World) -> None:
    first, second = await pair(world)
    second.role.trouble = CoordError("no luck")
    first.stop.set()
    await world.until(lambda: "listen" in second.role.calls)
    await world.until(lambda: bool(world.status(second) and said(world, second).why))
    (why,) = said(world, second).why
    assert why.startswith("resting 0.")
    assert why.endswith(" s after a failed activation")
    assert not said(world, second).ready
    second.role.trouble = None
    await world.until(lambda: second.active)


async def test_trouble_in_etcd_is_outlasted(world: World) -> None:
    _, second = await pair(world)
    await world.pass_time(1.0)
    before = revision(world, second)
    second.etcd.fail_next("txn", Unavailable("no leader", sent=False), times=2)
    await world.until(lambda: revision(world, second) != before, within_s=3.0)


async def test_nothing_is_said_by_who_lost_its_instance_key(world: World) -> None:
    """The status must not outlive the session it speaks for."""
    _, second = await pair(world)
    second.etcd.partition()
    await world.delete(KEYS.instance(2))
    await world.delete(KEYS.status(2))
    await world.pass_time(3.0)
    assert world.status(second) is None
    second.etcd.heal()
    await world.until(lambda: world.status(second) is not None)
    assert world.value(KEYS.instance(2)) is not None


class Lagging:
    """A mirror that has come as far as it is told."""

    def __init__(self) -> None:
        self.revision, self.late, self.synced = 5, 0, True

    def lag(self, revision: int) -> int | None:
        assert revision > 0, "asked about no status of ours"
        return self.late if self.synced else None


async def test_how_far_the_mirror_is_behind_is_measured_by_our_status(world: World) -> None:
    mirror: Any = Lagging()
    _, second = await pair(world)
    second.role.mirror = mirror
    await world.pass_time(2.5)
    assert (said(world, second).behind, said(world, second).revision) == (0, 5)
    mirror.late = 12
    await world.until(lambda: not said(world, second).ready, within_s=1.5)
    assert said(world, second).why == ("mirror is 12 revisions behind",)
    assert said(world, second).behind == 12
    mirror.late = 0  # what counts is now, not the last look
    await world.until(lambda: said(world, second).ready, within_s=0.3)
    mirror.synced = False
    await world.until(lambda: said(world, second).behind is None, within_s=1.5)
