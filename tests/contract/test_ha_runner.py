"""The life of a runner on the in-memory etcd, with a clock that moves when told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from milvus_coord.etcd.errors import NoSpace, Unavailable
from milvus_coord.etcd.memory.store import MemoryStore
from milvus_coord.etcd.txn import Txn, TxnResult, put, version_is
from milvus_coord.etcd.values import EventKind
from milvus_coord.ha.election.decisions import LOOK_AGAIN_S
from milvus_coord.ha.pair.leadership_record import LeadershipRecord, TermState
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.model.errors import CoordError, FencedOff, NotServing
from milvus_coord.model.states import Phase
from milvus_coord.runtime.processes import ProcessIdentity
from testing.ha_world import SERVE_S, TTL_S, Node, World, a_world, pair
from testing.role_world import KEYS


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


async def test_first_ever_serves_without_waiting(world: World) -> None:
    node = world.start()
    began_s = world.clock.boottime()
    await world.until(lambda: node.active)
    assert world.clock.boottime() - began_s < SERVE_S
    active = (await world.etcd.get(KEYS.active)).kv
    assert active is not None
    assert active.mod_revision == node.term.epoch
    assert SessionRecord.decode(KEYS.active, active.value) == SessionRecord(
        1, "rootcoord", node.role.address, fenced=True, process=ProcessIdentity.mine()
    )
    instance = (await world.etcd.get(KEYS.instance(1))).kv
    assert instance is not None
    assert (instance.value, instance.lease) == (active.value, active.lease)


async def test_a_key_that_vanished_makes_the_successor_wait_the_serve_lease_out(
    world: World,
) -> None:
    first, second = await pair(world)
    first.etcd.partition()
    await world.delete(KEYS.active)
    deleted_s = world.clock.boottime()
    await world.until(lambda: second.active)
    assert world.clock.boottime() - deleted_s >= SERVE_S
    with pytest.raises(NotServing):
        first.term.serve.require()


async def test_hand_over_waits_for_nothing_and_names_the_heir(world: World) -> None:
    first, second = await pair(world)
    await world.pass_time(2.0)
    asked_s = world.clock.boottime()
    first.stop.set()
    await world.until(lambda: second.active)
    assert world.clock.boottime() - asked_s < 0.2
    assert first.role.calls == ["listen", "recover", "finish", "abandon"]
    assert second.term.epoch > first.term.epoch
    with pytest.raises(FencedOff):
        await first.term.fence.commit(put(b"late", b"write"))
    assert (await world.etcd.get(b"late")).kv is None


async def test_an_heir_that_does_not_react_loses_the_key_again(world: World) -> None:
    first, frozen = await pair(world)
    await world.pass_time(2.0)
    third = world.start()
    await world.until(lambda: third.standby)
    frozen.etcd.partition(silent=True)
    first.stop.set()
    await world.until(lambda: third.active, within_s=5.0)


@pytest.mark.parametrize("value", [b"{junk", SessionRecord(9, "rootcoord", "h:9").encode()])
async def test_junk_is_not_handed_over(world: World, value: bytes) -> None:
    first, second = await pair(world)
    key = KEYS.instance(second.server_id)
    instance = (await world.etcd.get(key)).kv
    assert instance is not None
    await world.put(key, value, lease=instance.lease)
    await world.pass_time(2.0)
    assert world.ready(second)
    watch = world.etcd.watch(KEYS.active, start_revision=first.term.epoch + 1)
    first.stop.set()
    await world.until(lambda: second.active)
    given, taken = await anext(watch), await anext(watch)
    assert [event.kind for event in given.events] == [EventKind.DELETE]
    assert taken.revision == second.term.epoch


async def test_a_standby_that_is_not_ready_is_given_nothing(world: World) -> None:
    first, second = await pair(world)
    second.role.obstacles = ("mirror is not synced",)
    await world.pass_time(3.0)
    third = world.start()
    await world.pass_time(3.0)
    first.stop.set()
    await world.until(lambda: third.active)
    assert second.role.calls == []


async def test_a_claim_in_vain_is_not_repeated_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Etcd was restored from an older state, of which the standby has not heard yet."""
    _, second = await pair(world)
    claims, send = 0, second.etcd.txn

    async def counted(txn: Txn, *, timeout_s: float | None = None) -> TxnResult:
        nonlocal claims
        claims += version_is(KEYS.active, 0) in txn.compares
        return await send(txn, timeout_s=timeout_s)

    monkeypatch.setattr(second.etcd, "txn", counted)
    second.runner.pair.observe_active(None, 1_000_000)
    await world.pass_time(1.0)
    assert 0 < claims <= 1.0 / LOOK_AGAIN_S + 1


async def test_renewal_is_gated_by_progress(world: World) -> None:
    first, second = await pair(world)
    first.progress = False
    await world.until(lambda: second.active, within_s=TTL_S + 2 * SERVE_S)
    assert not first.active


async def test_lease_of_a_standby_dies_and_it_registers_again(world: World) -> None:
    first, second = await pair(world)
    second.etcd.partition(silent=True)
    await world.pass_time(TTL_S + 1)
    assert (await world.etcd.get(KEYS.instance(2))).kv is None
    second.etcd.heal()
    await world.pass_time(TTL_S)
    assert (await world.etcd.get(KEYS.instance(2))).kv is not None
    first.etcd.partition(silent=True)
    await world.until(lambda: second.active)


async def test_cut_off_active_steps_down_and_comes_back_as_standby(world: World) -> None:
    first, second = await pair(world)
    first.etcd.partition(silent=True)
    await world.until(lambda: second.active)
    first.etcd.heal()
    await world.until(lambda: first.standby)
    second.stop.set()
    await world.until(lambda: first.active)
    assert first.term.epoch > second.term.epoch


async def test_etcd_away_for_longer_than_the_ttl(world: World) -> None:
    first, second = await pair(world)
    for node in (first, second):
        node.etcd.partition()
    await world.pass_time(TTL_S + 5)
    assert not first.active
    for node in (first, second):
        node.etcd.heal()
    await world.until(lambda: first.active != second.active)


async def test_short_trouble_lapses_the_serve_lease_and_not_the_term(world: World) -> None:
    node = world.start()
    await world.until(lambda: node.active)
    epoch = node.term.epoch
    node.etcd.partition()
    await world.pass_time(3 * SERVE_S)
    assert node.active
    with pytest.raises(NotServing, match="lapsed"):
        node.term.serve.require()
    node.etcd.heal()
    await world.pass_time(SERVE_S)
    node.term.serve.require()
    assert node.lifecycle.epoch == epoch


@pytest.mark.parametrize("junk", [b"{junk", b"", SessionRecord(9, "rootcoord", "h:9").encode()])
async def test_overwritten_key_is_healed(world: World, junk: bytes) -> None:
    first, second = await pair(world)
    epoch = first.term.epoch
    await world.put(KEYS.active, junk)
    await world.until(lambda: not first.active)
    await world.until(lambda: first.active != second.active)
    leader = first if first.active else second
    assert leader.term.epoch > epoch


async def test_go_active_is_waited_for_and_never_replaced(world: World) -> None:
    lease = (await world.etcd.lease_grant(60)).id
    go = SessionRecord(77, "rootcoord", "go:53100").encode()
    await world.etcd.txn(Txn((version_is(KEYS.active, 0),), (put(KEYS.active, go, lease=lease),)))
    node = world.start()
    await world.until(lambda: node.standby)
    await world.pass_time(5)
    await world.put(KEYS.active, b"{junk")
    await world.pass_time(20)
    assert node.standby
    await world.delete(KEYS.active)
    gone_s = world.clock.boottime()
    await world.until(lambda: node.active)
    assert world.clock.boottime() - gone_s < SERVE_S / 2, "Go has no serve lease to wait for"


async def test_a_claim_whose_answer_was_lost_is_found_and_taken_again(world: World) -> None:
    first, second = await pair(world)
    second.etcd.fail_next("txn", Unavailable("the answer is lost", sent=True), applied=True)
    first.etcd.partition(silent=True)
    await world.until(lambda: second.active, within_s=60)


async def test_failed_activation_gives_the_key_to_another(world: World) -> None:
    first, second = await pair(world)
    third = world.start()
    await world.until(lambda: third.standby)
    await world.pass_time(2.0)
    second.role.trouble = CoordError("port taken")
    first.stop.set()
    await world.until(lambda: third.active)
    await world.until(lambda: second.standby)


async def test_nospace_at_a_claim_is_waited_out(world: World) -> None:
    first, second = await pair(world)
    second.etcd.fail_next("txn", NoSpace("database space exceeded"), times=3)
    await world.delete(KEYS.active)
    first.stop.set()
    await world.until(lambda: second.active)


async def test_compaction_while_the_watch_is_cut(world: World) -> None:
    first, second = await pair(world)
    second.etcd.partition()
    for _ in range(5):
        await world.etcd.txn(Txn((), (put(b"unrelated", b"x"),)))
    await world.delete(KEYS.active)
    world.etcd.compact()
    first.stop.set()
    await world.until(world.tasks[first].done)
    second.etcd.heal()
    await world.until(lambda: second.active)


async def test_without_pairs_the_second_waits_and_no_instance_key_is_made(world: World) -> None:
    first = world.start(active_standby=False)
    await world.until(lambda: first.active)
    second = world.start(active_standby=False)
    await world.until(lambda: second.standby)
    assert (await world.etcd.get(KEYS.instance(1))).kv is None
    first.stop.set()
    await world.until(lambda: second.active)


async def test_orderly_end_leaves_no_key_behind(world: World) -> None:
    node = world.start()
    await world.until(lambda: node.active)
    node.stop.set()
    await world.until(world.tasks[node].done)
    assert (await world.etcd.range(KEYS.active)).kvs == ()
    left = (await world.etcd.get(KEYS.leadership)).kv
    assert left is not None
    assert LeadershipRecord.decode(left.key, left.value).state is TermState.RELEASED
    assert node.phases[-1] is Phase.STOPPING


async def test_a_server_id_that_is_anothers_is_given_up(world: World) -> None:
    """The counter went back, as after a restore of etcd."""
    lease = (await world.etcd.lease_grant(600)).id
    other = SessionRecord(1, "rootcoord", "elsewhere:53100").encode()
    await world.etcd.txn(Txn((), (put(KEYS.instance(1), other, lease=lease),)))
    node = world.start()
    await world.until(lambda: node.active)
    assert node.lifecycle.server_id == 2
    kept = (await world.etcd.get(KEYS.instance(1))).kv
    assert kept is not None
    assert kept.value == other


def instance_keys(*nodes: Node) -> list[bytes]:
    return [KEYS.instance(node.server_id) for node in nodes]


@pytest.mark.parametrize("ahead", [0, 1000])
async def test_a_term_ends_when_etcd_is_restored(world: World, ahead: int) -> None:
    """Also where the backup is of this very term, and holds both sessions."""
    first, second = await pair(world)
    epoch, backup = first.term.epoch, world.etcd.store.snapshot()
    await world.put(b"by-dev/meta/root-coord/x", b"lost")
    await world.pass_time(2.0)
    world.etcd.store.restore(backup, revision=backup.revision + ahead)
    restored_s = world.clock.boottime()
    await world.until(lambda: not first.active)
    await world.until(lambda: first.active or second.active)
    assert world.clock.boottime() - restored_s >= SERVE_S
    leader = first if first.active else second
    assert leader.term.epoch > backup.revision + ahead
    assert leader.term.epoch != epoch
    await world.until(lambda: first.standby or second.standby)
    await world.until(lambda: all(world.value(key) for key in instance_keys(first, second)))


async def test_an_etcd_made_anew_is_led_by_one(world: World) -> None:
    first, second = await pair(world)
    world.etcd.store.restore(MemoryStore(world.clock))
    await world.until(lambda: not first.active)
    await world.until(lambda: first.active or second.active)
    await world.until(lambda: all(world.value(key) for key in instance_keys(first, second)))
    assert sorted((first.active, second.active)) == [False, True]
