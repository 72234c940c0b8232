"""Asking the active through etcd, and answering; what proves something and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from milvus_coord.etcd.errors import Unavailable
from milvus_coord.etcd.txn import Txn, TxnResult
from milvus_coord.ha.detection.challenge import Challenger
from milvus_coord.ha.detection.decisions import WAIT_S_MAX, Outcome, Reply
from milvus_coord.ha.detection.etcd_latency import EtcdLatency
from milvus_coord.ha.election.answerer import Answerer
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.model.errors import FencedOff
from testing.ha_term import ME, Scene, a_scene
from testing.role_world import KEYS

WAIT_S = 0.3
DOWN = Unavailable("no leader", sent=False)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with a_scene() as made:
        yield made


def ask(scene: Scene, latency: EtcdLatency | None = None) -> asyncio.Task[Reply]:
    latency = latency or EtcdLatency(scene.clock)
    args = scene.etcd, scene.clock, KEYS, scene.pair, scene.session, latency
    challenger = Challenger(*args, wait_s=WAIT_S)
    return scene.run(challenger.ask(scene.term.epoch), "ask")


def answering(scene: Scene, told: list[str] | None = None) -> asyncio.Task[None]:
    """The active's side, on the same pair."""
    told = told if told is not None else []
    answerer = Answerer(KEYS, scene.pair, scene.clock)
    lease = scene.active.lease
    return scene.run(answerer.run(scene.term, lease, lambda: told.append("")), "answer")


async def asked(scene: Scene) -> Challenge:
    """The nonce that was put, once it is there."""
    await scene.until(lambda: scene.value(KEYS.challenge(ME)) is not None)
    value = scene.value(KEYS.challenge(ME))
    assert value is not None
    return Challenge.decode(b"", value)


async def slow(latency: EtcdLatency, scene: Scene, seconds: float) -> None:
    """Let a call of ours have taken so long."""
    call = scene.run(latency.timed(scene.clock.sleep(seconds)), "slow")
    await scene.turns(100)
    scene.clock.advance(seconds)
    await call


async def test_an_active_that_can_write_answers_at_once(scene: Scene) -> None:
    await scene.listen()
    answering(scene)
    asking = ask(scene)
    assert await scene.settle(asking.done), "no time needs to pass"
    reply = asking.result()
    (answer,) = scene.etcd.store.range(KEYS.answer(ME), b"")
    assert reply == Reply(Outcome.ANSWERED, answer.mod_revision)
    assert answer.value == scene.value(KEYS.challenge(ME))
    assert answer.lease == scene.active.lease
    (challenge,) = scene.etcd.store.range(KEYS.challenge(ME), b"")
    assert challenge.lease == scene.session.lease


async def test_nobody_answers(scene: Scene) -> None:
    await scene.listen()
    began_s = scene.clock.boottime()
    asking = ask(scene)
    await scene.until(asking.done)
    assert asking.result() == Reply(Outcome.UNANSWERED, 0)
    assert WAIT_S <= scene.clock.boottime() - began_s <= WAIT_S + 0.1


async def test_an_older_answer_is_none_and_its_revision_is_told(scene: Scene) -> None:
    await scene.listen()
    old = await scene.put(KEYS.answer(ME), Challenge("older", scene.term.epoch).encode())
    asking = ask(scene)
    await scene.until(asking.done)
    assert asking.result() == Reply(Outcome.UNANSWERED, old)


async def test_junk_for_an_answer_is_none(scene: Scene) -> None:
    await scene.listen()
    junk = await scene.put(KEYS.answer(ME), b"{junk")
    asking = ask(scene)
    await scene.until(asking.done)
    assert asking.result() == Reply(Outcome.UNANSWERED, junk)


async def test_the_last_look_wins_over_a_watch_that_lags(scene: Scene) -> None:
    """The watch brings nothing at all; the answer is in etcd."""
    asking = ask(scene)
    nonce = await asked(scene)
    await scene.put(KEYS.answer(ME), nonce.encode())
    await scene.until(asking.done)
    assert asking.result().outcome is Outcome.ANSWERED


async def test_the_right_nonce_of_another_epoch_is_no_answer(scene: Scene) -> None:
    await scene.listen()
    asking = ask(scene)
    nonce = await asked(scene)
    await scene.put(KEYS.answer(ME), Challenge(nonce.nonce, nonce.epoch - 1).encode())
    await scene.until(asking.done)
    assert asking.result().outcome is Outcome.UNANSWERED


async def test_void_when_k_has_moved(scene: Scene) -> None:
    await scene.term_of(scene.active)
    asking = ask(scene)
    assert await scene.settle(asking.done)
    assert asking.result() == Reply(Outcome.VOID)
    assert scene.value(KEYS.challenge(ME)) is None


@pytest.mark.parametrize("call", ["txn", "get"])
async def test_void_when_etcd_fails_us(scene: Scene, call: str) -> None:
    await scene.listen()
    scene.etcd.fail_next(call, DOWN)
    asking = ask(scene)
    await scene.until(asking.done)
    assert asking.result() == Reply(Outcome.VOID)


async def test_void_when_our_own_loop_stood_still(scene: Scene) -> None:
    """The answer may lie in a socket that we have not read."""
    await scene.listen()
    asking = ask(scene)
    await asked(scene)
    scene.clock.advance(WAIT_S + 0.25)
    await scene.until(asking.done)
    assert asking.result() == Reply(Outcome.VOID)


async def test_a_slow_etcd_gives_the_active_longer(scene: Scene) -> None:
    await scene.listen()
    latency = EtcdLatency(scene.clock)
    for _ in range(3):
        await slow(latency, scene, 0.8)
    began_s = scene.clock.boottime()
    asking = ask(scene, latency)
    await scene.until(asking.done)
    assert asking.result().outcome is Outcome.UNANSWERED
    assert 1.6 <= scene.clock.boottime() - began_s <= 1.7


async def test_one_slow_call_is_no_slow_etcd(scene: Scene) -> None:
    """The first over a connection that was cut, for instance."""
    await scene.listen()
    latency = EtcdLatency(scene.clock)
    for took_s in (0.01, 1.5, 0.01):
        await slow(latency, scene, took_s)
    began_s = scene.clock.boottime()
    asking = ask(scene, latency)
    await scene.until(asking.done)
    assert asking.result().outcome is Outcome.UNANSWERED
    assert scene.clock.boottime() - began_s <= WAIT_S + 0.1


async def test_but_a_slow_asking_is(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.listen()
    at_once = scene.etcd.txn

    async def slowly(txn: Txn, *, timeout_s: float) -> TxnResult:
        await scene.clock.sleep(0.8)
        return await at_once(txn, timeout_s=timeout_s)

    monkeypatch.setattr(scene.etcd, "txn", slowly)
    began_s = scene.clock.boottime()
    asking = ask(scene)
    await scene.until(asking.done)
    assert asking.result().outcome is Outcome.UNANSWERED
    assert scene.clock.boottime() - began_s >= 3 * 0.8


async def test_but_not_for_ever(scene: Scene) -> None:
    await scene.listen()
    latency = EtcdLatency(scene.clock)
    await slow(latency, scene, 10.0)
    began_s = scene.clock.boottime()
    asking = ask(scene, latency)
    await scene.until(asking.done)
    assert asking.result() == Reply(Outcome.UNANSWERED, 0)
    assert WAIT_S_MAX <= scene.clock.boottime() - began_s <= WAIT_S_MAX + 0.1


async def test_void_when_etcd_does_not_answer_us(scene: Scene) -> None:
    """Neither us nor, perhaps, the active."""
    await scene.listen()
    scene.etcd.partition(silent=True)
    latency = EtcdLatency(scene.clock)
    asking = ask(scene, latency)
    await scene.until(asking.done)
    assert asking.result() == Reply(Outcome.VOID)
    assert latency.worst_s == 0.0, "that says nothing about how long an answer takes"


async def test_slowness_is_forgotten_after_five_calls(scene: Scene) -> None:
    latency = EtcdLatency(scene.clock)
    await slow(latency, scene, 1.6)
    for _ in range(5):
        assert latency.worst_s == pytest.approx(1.6)
        await slow(latency, scene, 0.01)
    assert latency.worst_s == pytest.approx(0.01)


async def challenge(scene: Scene, nonce: Challenge, server_id: int = ME) -> None:
    await scene.put(KEYS.challenge(server_id), nonce.encode())
    await scene.turns(100)


def answer(scene: Scene, server_id: int = ME) -> Challenge | None:
    value = scene.value(KEYS.answer(server_id))
    return None if value is None else Challenge.decode(b"", value)


async def test_each_nonce_is_answered_once(scene: Scene) -> None:
    told: list[str] = []
    await scene.listen()
    answering(scene, told)
    first, second = Challenge("1", scene.term.epoch), Challenge("2", scene.term.epoch)
    await challenge(scene, first)
    assert answer(scene) == first
    await challenge(scene, first)
    revision = scene.etcd.store.revision
    await scene.pass_time(2.0)
    assert scene.etcd.store.revision == revision, "answered again for nothing"
    await challenge(scene, second)
    assert answer(scene) == second
    await challenge(scene, second, server_id=9)
    assert answer(scene, 9) == second
    assert len(told) == 3


async def test_a_challenge_that_was_there_before_is_answered(scene: Scene) -> None:
    await challenge(scene, Challenge("1", scene.term.epoch))
    await scene.listen()
    answering(scene)
    assert await scene.settle(lambda: answer(scene) is not None)


async def test_a_challenge_to_another_term_is_not_answered(scene: Scene) -> None:
    told: list[str] = []
    await scene.listen()
    answering(scene, told)
    for other in (scene.term.epoch - 1, scene.term.epoch + 1, 0):
        await challenge(scene, Challenge("1", other))
        await scene.pass_time(0.5)
    assert (answer(scene), told) == (None, [])


async def test_keys_that_are_no_servers_are_passed_over(scene: Scene) -> None:
    await scene.listen()
    answering(scene)
    for name in (b"x", b"", b"7x"):
        await scene.put(KEYS.challenges + name, Challenge("1", scene.term.epoch).encode())
    await challenge(scene, Challenge("1", scene.term.epoch))
    assert answer(scene) is not None


async def test_answered_as_soon_as_etcd_takes_it(scene: Scene) -> None:
    told: list[str] = []
    scene.term_link.fail_next("txn", DOWN, times=3)
    await scene.listen()
    answering(scene, told)
    await challenge(scene, Challenge("1", scene.term.epoch))
    assert answer(scene) is None
    await scene.until(lambda: answer(scene) is not None, within_s=0.5)
    assert len(told) == 1


async def test_who_leads_no_more_cannot_answer(scene: Scene) -> None:
    await scene.listen()
    running = answering(scene)
    await scene.term_of(scene.session)
    await challenge(scene, Challenge("1", scene.term.epoch))
    await scene.until(running.done)
    with pytest.raises(FencedOff):
        running.result()
    assert answer(scene) is None
    assert scene.term.fence.broken.is_set()
