"""The active's side of a switchover: what it refuses, in which words, and races."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.ha.election.switchover import SwitchoverHandler
from milvus_coord.ha.pair.operator_records import Pause, RequestState, SwitchoverRequest
from milvus_coord.model.errors import FencedOff
from testing.fake_pair import status_of
from testing.ha_term import ACTIVE, Scene, a_scene
from testing.role_world import KEYS

HEIR = 8


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with a_scene() as made:
        await made.listen()
        yield made


def switching(scene: Scene) -> asyncio.Task[SwitchoverRequest]:
    return scene.run(
        SwitchoverHandler(scene.clock, KEYS, scene.pair).accepted(scene.term), "switching"
    )


async def heir(scene: Scene, server_id: int = HEIR, *, ready: bool = True) -> None:
    await scene.put(KEYS.status(server_id), status_of(server_id, ready=ready).encode())
    await scene.turns(100)


def request(scene: Scene, **more: object) -> SwitchoverRequest:
    plain = SwitchoverRequest("n", scene.term.epoch, 0, "ann")
    return replace(plain, **more)  # type: ignore[arg-type]  # as the caller says


async def ask(scene: Scene, wanted: SwitchoverRequest) -> SwitchoverRequest | None:
    """The key's value after the request was put and everybody has had a turn."""
    lease = (await scene.etcd.lease_grant(60)).id
    await scene.put(KEYS.switchover, wanted.encode(), lease=lease)
    await scene.turns(100)
    return answer(scene)


def answer(scene: Scene) -> SwitchoverRequest | None:
    value = scene.value(KEYS.switchover)
    return None if value is None else SwitchoverRequest.decode(b"", value)


@pytest.mark.parametrize("to", [0, HEIR])
async def test_a_request_that_can_be_followed_is_accepted(scene: Scene, to: int) -> None:
    await heir(scene)
    running = switching(scene)
    accepted = await ask(scene, request(scene, to=to))
    assert accepted == request(scene, to=to, state=RequestState.ACCEPTED)
    assert await scene.settle(running.done)
    assert running.result() == accepted
    (kv,) = scene.etcd.store.range(KEYS.switchover, b"")
    assert kv.lease, "it stays on the asker's lease"


async def test_refusals_say_why(scene: Scene) -> None:
    running = switching(scene)

    async def refused(wanted: SwitchoverRequest) -> str:
        said = await ask(scene, wanted)
        assert said is not None
        assert said == replace(wanted, state=RequestState.REFUSED, why=said.why)
        return said.why

    assert await refused(request(scene)) == "no standby is ready"
    assert await refused(request(scene, to=HEIR)) == f"server {HEIR} is no standby that is ready"
    await heir(scene, ready=False)
    assert await refused(request(scene)) == "no standby is ready"
    await heir(scene)
    assert await refused(request(scene, to=99)) == "server 99 is no standby that is ready"
    assert (
        await refused(request(scene, to=ACTIVE)) == f"server {ACTIVE} is no standby that is ready"
    )
    epoch = scene.term.epoch
    other = await refused(request(scene, epoch=epoch - 1))
    assert other == f"server {ACTIVE} leads by now, in epoch {epoch}"
    await scene.put(KEYS.paused, Pause("bob", 1).encode())
    assert await refused(request(scene, to=HEIR)) == "paused by bob"
    await scene.delete(KEYS.paused)
    assert not running.done()
    accepted = await ask(scene, request(scene))
    assert accepted is not None
    assert accepted.state is RequestState.ACCEPTED


async def test_the_active_itself_is_no_heir_though_it_says_that_it_is_ready(scene: Scene) -> None:
    await heir(scene, ACTIVE)
    switching(scene)
    said = await ask(scene, request(scene))
    assert said is not None
    assert said.why == "no standby is ready"


@pytest.mark.parametrize("state", [RequestState.ACCEPTED, RequestState.REFUSED])
async def test_what_is_decided_is_left_as_it_is(scene: Scene, state: RequestState) -> None:
    """Such as a request that the leader before us accepted, and did not live to follow."""
    await heir(scene)
    running = switching(scene)
    decided = request(scene, state=state, why="so")
    assert await ask(scene, decided) == decided
    assert not running.done()


async def test_a_request_that_was_there_before_the_term_is_answered(scene: Scene) -> None:
    await heir(scene)
    asked = request(scene)
    assert await ask(scene, asked) == asked
    running = switching(scene)
    assert await scene.settle(running.done)


async def test_a_request_that_is_withdrawn_meanwhile_is_not_followed(scene: Scene) -> None:
    """Its lease has ended in etcd, and the snapshot does not say so yet."""
    await heir(scene)
    asked = request(scene)
    await ask(scene, asked)
    found = scene.pair.snapshot
    await scene.delete(KEYS.switchover)
    await scene.turns(100)
    scene.pair.snapshot = found
    running = switching(scene)
    await scene.turns(100)
    assert not running.done()
    assert answer(scene) is None
    assert not scene.term.fence.broken.is_set()


async def test_a_request_that_changes_meanwhile_is_answered_as_it_is_then(scene: Scene) -> None:
    await heir(scene)
    await ask(scene, request(scene))
    old = scene.pair.snapshot
    await ask(scene, request(scene, nonce="newer", to=HEIR))
    newer = scene.pair.snapshot
    scene.pair.snapshot = old
    running = switching(scene)
    await scene.turns(100)
    assert not running.done()
    scene.pair.snapshot = newer
    scene.pair.changed.notify()
    assert await scene.settle(running.done)
    assert running.result().nonce == "newer"


async def test_answered_at_the_next_change_when_etcd_fails(scene: Scene) -> None:
    await heir(scene)
    down = Unavailable("no leader", sent=False)
    scene.term_link.fail_next("txn", down)
    running = switching(scene)
    asked = request(scene)
    assert await ask(scene, asked) == asked
    assert not running.done()
    await heir(scene)  # some status: there is one each second
    assert await scene.settle(running.done)


async def test_who_leads_no_more_promises_nothing(scene: Scene) -> None:
    await heir(scene)
    running = switching(scene)
    await scene.term_of(scene.session)
    asked = request(scene)
    assert await ask(scene, asked) == asked
    with pytest.raises(FencedOff):
        running.result()


async def test_a_stop_request_goes_before_a_switchover(scene: Scene) -> None:
    await heir(scene)
    stop = asyncio.Event()
    handler = SwitchoverHandler(scene.clock, KEYS, scene.pair)
    running = scene.run(handler.wait(scene.term, stop), "waiting")
    await ask(scene, request(scene))
    assert await running == request(scene, state=RequestState.ACCEPTED)
    await ask(scene, request(scene, nonce="n2"))
    stop.set()
    assert await handler.wait(scene.term, stop) is None
