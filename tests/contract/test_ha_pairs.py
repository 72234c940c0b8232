"""Pairs on the in-memory etcd: early replacement, what holds it back, and switching over."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from milvus_coord.etcd.txn import put
from milvus_coord.ha.election.decisions import HEAD_START_S
from milvus_coord.ha.pair.operator_records import Pause, RequestState, SwitchoverRequest
from milvus_coord.ha.pair.takeover import Cause
from milvus_coord.model.errors import FencedOff, NotServing
from milvus_coord.model.states import Phase
from testing.ha_world import BEAT_S, SERVE_S, TTL_S, Node, World, a_world, pair
from testing.role_world import KEYS

SILENCE_S = 5 * BEAT_S
CHALLENGE_S = 0.3
SLACK_S = 0.7
"""Steps of the world's clock, looks at the pair, pauses between two tries."""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


def count(node: Node, metric: str) -> dict[str, float]:
    """A counter of a node by the value of its label."""
    lines = re.findall(rf'^{metric}{{\w+="([\w-]+)"}} (\S+)$', node.metrics.render().decode(), re.M)
    return {label: float(value) for label, value in lines}


def asked(node: Node) -> float:
    return sum(count(node, "milvus_coord_challenge_count").values())


async def request(world: World, active: Node, to: int = 0) -> SwitchoverRequest:
    """Put a request; the key's value as it is once it was answered, or gone."""
    lease = (await world.etcd.lease_grant(60)).id
    asked = SwitchoverRequest("n1", active.term.epoch, to, "ann")
    await world.put(KEYS.switchover, asked.encode(), lease=lease)

    def answer() -> SwitchoverRequest:
        value = world.value(KEYS.switchover)
        assert value is not None
        return SwitchoverRequest.decode(KEYS.switchover, value)

    await world.until(lambda: answer().state is not RequestState.ASKED, within_s=5)
    return answer()


async def test_a_silent_active_is_replaced_before_its_lease_ends(world: World) -> None:
    first, second = await pair(world)
    await world.pass_time(1.0)
    first.freeze()
    frozen_s = world.clock.boottime()
    await world.until(lambda: second.active)
    took_s = world.clock.boottime() - frozen_s
    assert took_s >= SILENCE_S + CHALLENGE_S + SERVE_S - BEAT_S
    assert took_s <= SILENCE_S + CHALLENGE_S + SERVE_S + SLACK_S
    await world.pass_time(0.1)
    entry = world.history()[-1]
    assert (entry.cause, entry.served) == (Cause.SILENT, True)
    assert (entry.server_id, entry.from_server_id) == (2, 1)
    assert entry.from_address == first.role.address
    assert entry.phases["detect"] >= (SILENCE_S + CHALLENGE_S - BEAT_S) * 1000
    assert list(entry.phases)[:2] == ["detect", "claim"]


async def test_who_took_over_without_consent_waits_the_serve_lease_out(world: World) -> None:
    first, second = await pair(world)
    first.freeze()
    await world.until(lambda: len(world.history()) == 2)
    won_s = world.clock.boottime()
    with pytest.raises(AssertionError):
        await world.until(lambda: second.active, within_s=SERVE_S - 0.1)
    await world.until(lambda: second.active)
    assert SERVE_S - 0.1 <= world.clock.boottime() - won_s <= SERVE_S + 0.1


async def test_who_was_replaced_has_no_lease_and_writes_nothing(world: World) -> None:
    first, second = await pair(world)
    deposed = first.term
    first.freeze()
    await world.until(lambda: second.active)
    await world.until(lambda: world.value(KEYS.instance(1)) is None)  # its lease was revoked
    assert world.value(KEYS.status(1)) is None
    first.thaw()
    with pytest.raises(FencedOff):
        await deposed.fence.commit(put(b"late", b"write"))
    assert world.value(b"late") is None
    with pytest.raises(NotServing):
        deposed.serve.require()
    await world.until(lambda: first.standby and world.ready(first))
    assert second.active
    assert world.value(KEYS.instance(1)) is not None


async def test_who_is_cut_off_from_etcd_alone_is_replaced(world: World) -> None:
    """Its beats come, and say themselves that leadership was not proven for long."""
    first, second = await pair(world)
    first.etcd.partition(silent=True)
    cut_s = world.clock.boottime()
    await world.until(lambda: second.active)
    assert world.clock.boottime() - cut_s < TTL_S / 3
    assert world.history()[-1].cause is Cause.UNPROVEN
    with pytest.raises(NotServing):
        first.term.serve.require()


async def test_who_refuses_connections_and_does_not_answer_is_replaced_sooner(world: World) -> None:
    first, second = await pair(world)
    await world.pass_time(1.0)
    first.freeze()
    await first.role.close_port()
    gone_s = world.clock.boottime()
    await world.until(lambda: len(world.history()) == 2)
    assert world.clock.boottime() - gone_s < CHALLENGE_S + 3 * BEAT_S
    assert world.history()[-1].cause is Cause.UNREACHABLE
    await world.until(lambda: second.active)


async def test_who_answers_through_etcd_is_left_alone(world: World) -> None:
    """Its port is closed for good: suspected again and again, and never replaced."""
    first, second = await pair(world)
    epoch = first.term.epoch
    await first.role.close_port()
    await world.pass_time(TTL_S + 2)
    assert first.active
    assert first.term.epoch == epoch
    outcomes = count(second, "milvus_coord_challenge_count")
    assert set(outcomes) == {"answered"}
    assert 5 <= outcomes["answered"] <= TTL_S + 3, "left alone for a second after each answer"
    assert second.role.calls == []


@pytest.mark.parametrize("reason", ["mirror is not synced", "mirror is 12 revisions behind"])
async def test_who_is_not_ready_replaces_nobody(world: World, reason: str) -> None:
    first, second = await pair(world)
    second.role.obstacles = (reason,)
    first.freeze()
    await world.pass_time(TTL_S / 2)
    assert len(world.history()) == 1
    assert asked(second) == 0
    second.role.obstacles = ()
    await world.until(lambda: second.active, within_s=3.0)
    assert world.history()[-1].cause is Cause.SILENT


async def test_a_paused_pair_leaves_a_silent_active_to_its_lease(world: World) -> None:
    first, second = await pair(world)
    await world.put(KEYS.paused, Pause("ann", 1).encode())
    await world.pass_time(0.2)
    first.freeze()
    frozen_s = world.clock.boottime()
    await world.until(lambda: second.active)
    assert world.clock.boottime() - frozen_s > TTL_S * 0.6
    assert [entry.cause for entry in world.history()] == [Cause.FIRST, Cause.LEASE_ENDED]
    assert asked(second) == 0


@pytest.mark.parametrize("value", [Pause("ann", 1).encode(), b"{junk"])
async def test_a_pair_that_is_resumed_replaces_at_once(world: World, value: bytes) -> None:
    first, second = await pair(world)
    await world.put(KEYS.paused, value)
    await world.pass_time(0.2)
    first.freeze()
    await world.pass_time(3.0)
    assert len(world.history()) == 1
    await world.delete(KEYS.paused)
    await world.until(lambda: second.active, within_s=CHALLENGE_S + SERVE_S + SLACK_S)


async def test_a_second_replacement_within_a_minute_waits_for_the_lease(world: World) -> None:
    first, second = await pair(world, early_per_minute=1, early_per_ten_minutes=3)
    first.freeze()
    await world.until(lambda: second.active)
    first.thaw()
    await world.until(lambda: first.standby and world.ready(first))
    second.freeze()
    frozen_s = world.clock.boottime()
    await world.until(lambda: first.active)
    assert world.clock.boottime() - frozen_s > TTL_S * 0.6
    causes = [entry.cause for entry in world.history()]
    assert causes == [Cause.FIRST, Cause.SILENT, Cause.LEASE_ENDED]


async def test_replacement_is_allowed_again_a_minute_later(world: World) -> None:
    first, second = await pair(world, early_per_minute=1, early_per_ten_minutes=3)
    first.freeze()
    await world.until(lambda: second.active)
    first.thaw()
    await world.pass_time(60)
    assert second.active
    second.freeze()
    await world.until(lambda: first.active, within_s=SILENCE_S + CHALLENGE_S + SERVE_S + SLACK_S)
    assert world.history()[-1].cause is Cause.SILENT


async def test_zero_allows_no_early_replacement(world: World) -> None:
    first, second = await pair(world, early_per_minute=0)
    first.freeze()
    await world.until(lambda: second.active)
    assert world.history()[-1].cause is Cause.LEASE_ENDED
    assert asked(second) == 0


async def switched(world: World, active: Node, heir: Node) -> None:
    began_s = world.clock.boottime()
    answered = await request(world, active)
    assert answered.state is RequestState.ACCEPTED
    await world.until(lambda: heir.active)
    assert world.clock.boottime() - began_s < SERVE_S / 2, "the heir waited for nothing"
    await world.until(lambda: active.standby)
    await world.delete(KEYS.switchover)


async def test_switching_over_there_and_back(world: World) -> None:
    first, second = await pair(world)
    for active, heir in ((first, second), (second, first)):
        await world.pass_time(1.5)  # for the heir to say that it is ready
        await switched(world, active, heir)
    causes = [entry.cause for entry in world.history()]
    assert causes == [Cause.FIRST, Cause.SWITCHOVER, Cause.SWITCHOVER]
    assert first.role.calls == ["listen", "recover", "finish", "abandon", "listen", "recover"]


async def test_who_hands_over_keeps_quiet_until_the_heir_serves(world: World) -> None:
    first, second = await pair(world)
    await world.pass_time(1.5)
    served: list[bool] = []
    first.lifecycle.observe(
        lambda phase: served.append(world.history()[-1].served) if phase is Phase.STANDBY else None
    )
    await switched(world, first, second)
    assert served == [True]


async def test_an_heir_that_never_serves_is_not_waited_for(world: World) -> None:
    first, second = await pair(world)
    await world.pass_time(1.5)
    second.role.trouble = NotServing("planted")
    await request(world, first)
    await world.until(lambda: first.standby)
    assert not world.history()[-1].served


async def test_the_chosen_one_of_several_takes_over(world: World) -> None:
    first, _ = await pair(world)
    third = world.start()
    await world.until(lambda: third.standby and world.ready(third))
    await request(world, first, to=third.server_id)
    await world.until(lambda: third.active)
    assert world.history()[-1].cause is Cause.SWITCHOVER


async def test_a_paused_pair_refuses_to_switch_over(world: World) -> None:
    first, second = await pair(world)
    await world.put(KEYS.paused, Pause("ann", 1).encode())
    await world.pass_time(0.2)
    refused = await request(world, first)
    assert (refused.state, refused.why) == (RequestState.REFUSED, "paused by ann")
    await world.pass_time(2.0)
    assert first.active
    assert second.role.calls == []


async def test_an_heir_that_is_frozen_leaves_it_to_another(world: World) -> None:
    first, frozen = await pair(world)
    third = world.start()
    await world.until(lambda: third.standby and world.ready(third))
    frozen.freeze()
    answered = await request(world, first, to=frozen.server_id)
    assert answered.state is RequestState.ACCEPTED
    await world.until(lambda: first.standby)
    await world.until(lambda: first.active or third.active, within_s=3.0)
    assert frozen.role.calls == []
    # Taken back by the one before, or from the silent heir: whichever comes first.
    assert world.history()[-1].cause in (Cause.SWITCHOVER, Cause.SILENT)


async def test_a_standby_without_its_port_leaves_k_alone(world: World) -> None:
    first, second = await pair(world)
    second.role.has_port, second.role.obstacles = False, ("port 53100 is taken",)
    await world.pass_time(0.5)  # for the active to hear it: it hands over to nobody
    first.stop.set()
    await world.until(world.tasks[first].done)
    await world.pass_time(3 * HEAD_START_S)
    assert second.standby
    second.role.has_port, second.role.obstacles = True, ()
    await world.until(lambda: second.active, within_s=1.0)


async def test_a_record_that_says_nothing_new_changes_nothing(world: World) -> None:
    """Wishes of another epoch, twice: refused, and the active goes on."""
    first, _ = await pair(world)
    lease = (await world.etcd.lease_grant(60)).id
    other = SwitchoverRequest("n1", first.term.epoch - 1, 0, "ann")
    for nonce in ("n1", "n2"):
        await world.put(KEYS.switchover, replace(other, nonce=nonce).encode(), lease=lease)
        await world.pass_time(0.5)
        value = world.value(KEYS.switchover)
        assert value is not None
        answer = SwitchoverRequest.decode(KEYS.switchover, value)
        assert (answer.nonce, answer.state) == (nonce, RequestState.REFUSED)
    assert first.active
