"""Each checker of the fault rig finds the violation that is planted, and nothing in a good run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from testing.messages import message_class
from testing.sightings import Method, Outcome, Sighting, Sightings
from tests.rig import checkers
from tests.rig.registers import PROPERTY, Read, Write
from tests.rig.store_history import ACTIVE_KEY, HA, KV, META, Change, StoreHistory

A, B = "127.0.0.1:1", "127.0.0.1:2"
CLIENT_A, CLIENT_B = "127.0.0.1:11", "127.0.0.1:12"
INSTANCES = {CLIENT_A: A, CLIENT_B: B}


def put(revision: int, key: str, value: bytes) -> Change:
    return Change(revision, key, value, 0, revision / 10)


def session(server_id: int, address: str) -> bytes:
    return json.dumps({"ServerID": server_id, "Address": address}).encode()


def won(revision: int, server_id: int, address: str) -> list[Change]:
    said = {"server_id": server_id, "state": "held", "why": ""}
    return [
        put(revision, ACTIVE_KEY, session(server_id, address)),
        put(revision, f"{HA}leadership", json.dumps(said).encode()),
    ]


def register(revision: int, value: int, name: str = "x") -> Change:
    record = message_class("etcd.CollectionInfo")(ID=5)
    record.schema.name = name
    record.properties.add(key=PROPERTY, value=str(value))
    key = f"{META}root-coord/database/collection-info/1/5"
    return put(revision, key, record.SerializeToString())


def bound(revision: int, number: int) -> Change:
    return put(revision, f"{KV}tso/timestamp", number.to_bytes(8, "big"))


GOOD = [
    *won(1, 1, A),
    put(2, f"{HA}mark", b"1"),
    put(2, f"{HA}history/{1:020d}", b'{"cause":"first"}'),
    bound(3, 100),
    register(4, 1),
    register(5, 2),
    *won(6, 2, B),
    put(7, f"{HA}mark", b"6"),
    put(7, f"{HA}answer-3", b'{"nonce":"n","epoch":6}'),
    put(7, f"{HA}history/{6:020d}", b'{"cause":"silent"}'),
    bound(8, 200),
    register(9, 3),
]
WRITES = [
    Write("x", 1, CLIENT_A, 0.30, 0.41),
    Write("x", 2, CLIENT_A, 0.45, None),
    Write("x", 3, CLIENT_B, 0.80, 0.91),
]
READS = [
    Read("x", 1, CLIENT_A, 0.42, 0.43),
    Read("x", 2, CLIENT_B, 0.70, 0.71),
    Read("x", 3, CLIENT_B, 0.92, 0.93),
]


def store(changes: Sequence[Change], first: int = 1) -> StoreHistory:
    return StoreHistory(sorted(changes, key=lambda one: one.revision), first=first)


def without(*revisions: int) -> list[Change]:
    return [one for one in GOOD if one.revision not in revisions]


def test_good_history() -> None:
    history = store(GOOD)
    assert list(checkers.check_store(history)) == []
    assert list(checkers.check_registers(history, WRITES, READS, INSTANCES)) == []
    assert list(checkers.check_history(history, ["first", "silent"])) == []


def test_term_that_ended_before_it_was_clear() -> None:
    over = b'{"server_id":2,"state":"held","why":"failed"}'
    given_up = [Change(10, ACTIVE_KEY, None, 0, 1.0), put(10, f"{HA}leadership", over)]
    assert list(checkers.check_store(store([*GOOD, *given_up]))) == []


PLANTED = {
    "lost revision": (without(5), "revisions 5 to 5"),
    "nothing": ([], "empty"),
    "leads without the active key": (
        [*without(6), *won(6, 9, B)[1:], put(6, ACTIVE_KEY, session(2, B))],
        "says that its server leads",
    ),
    "ends another's term": (
        [*GOOD, put(10, f"{HA}leadership", b'{"server_id":1,"state":"released"}')],
        "ends a term",
    ),
    "ends another's term unclear": (
        [*GOOD, put(10, f"{HA}leadership", b'{"server_id":1,"state":"held","why":"failed"}')],
        "ends a term",
    ),
    "deposed mark": ([*GOOD, put(10, f"{HA}mark", b"1")], "of epoch 1"),
    "deposed history": ([*GOOD, put(10, f"{HA}history/{1:020d}", b"{}")], "of epoch 1"),
    "deposed answer": ([*GOOD, put(10, f"{HA}answer-3", b'{"epoch":1}')], "of epoch 1"),
    "write without the active key": (
        [*GOOD, Change(10, ACTIVE_KEY, None, 0, 1.0), register(11, 4)],
        "when nobody led",
    ),
    "bound before the active key": ([bound(1, 3), *[replace(one, revision=one.revision + 1) for one
    in GOOD]],
                       "when nobody led"),
    "bound goes back": ([*GOOD, bound(10, 150)], "went back"),
    "bound stays": ([*GOOD, bound(10, 200)], "went back"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_planted_in_the_store(name: str) -> None:
    changes, words = PLANTED[name]
    found = list(checkers.check_store(store(changes)))
    assert any(words in one for one in found), found


def test_cause_missing_in_the_history() -> None:
    assert list(checkers.check_history(store(GOOD), ["first", "process-died"]))
    assert list(checkers.check_history(store(without(7)), ["first", "silent"]))
    assert list(checkers.check_history(store(GOOD), ["first", "unproven"])) == []


def test_needless_failover() -> None:
    assert list(checkers.check_same_holder(store(GOOD), 5))
    assert list(checkers.check_same_holder(store(GOOD), 6)) == []


PLANTED_CALLS = {
    "acknowledged and lost": (
        [*WRITES, Write("x", 9, CLIENT_B, 0.95, 0.96)], READS, "was acknowledged and is not there"
    ),
    "nobody wrote it": (WRITES[:2], READS[:2], "nobody wrote the value 3"),
    "applied in another's term": (
        [*WRITES[:2], Write("x", 3, CLIENT_A, 0.80, None)], READS, "under another leader"
    ),
    "order of writes": (
        [Write("x", 1, CLIENT_A, 0.50, 0.60), Write("x", 2, CLIENT_A, 0.1, 0.2), WRITES[2]],
        [], "is behind",
    ),
    "stale read": (WRITES, [Read("x", 1, CLIENT_A, 0.95, 0.96)], "is behind"),
    "nothing read where something was": (
        WRITES, [Read("x", None, CLIENT_B, 0.95, 0.96)], "is behind"
    ),
    "read of what never was": (WRITES, [Read("x", 77, CLIENT_B, 0.9, 0.95)], "never was"),
    "read from the future": (WRITES, [Read("x", 3, CLIENT_B, 0.5, 0.6)], "comes before"),
    "reads disagree": (
        WRITES,
        [Read("x", 2, CLIENT_B, 0.50, 0.60), Read("x", 1, CLIENT_A, 0.65, 0.66)],
        "is behind",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED_CALLS)
def test_planted_in_the_calls(name: str) -> None:
    writes, reads, words = PLANTED_CALLS[name]
    found = list(checkers.check_registers(store(GOOD), writes, reads, INSTANCES))
    assert any(words in one for one in found), found


def sighting(address: str, sent_s: float, first: int) -> Sighting:
    return Sighting(
        address, Method.ALLOC_TIMESTAMP, Outcome.OK, 1, 1, sent_s, sent_s + 0.01, first, 3
    )


def test_answers_of_two_at_a_time() -> None:
    fine = [sighting(CLIENT_A, 0.1, 1), sighting(CLIENT_A, 0.2, 5), sighting(CLIENT_B, 0.7, 9)]
    late = [*fine, sighting(CLIENT_A, 0.8, 13)]
    assert list(checkers.check_one_at_a_time(Sightings(fine), store(GOOD), INSTANCES)) == []
    found = list(checkers.check_one_at_a_time(Sightings(late), store(GOOD), INSTANCES))
    assert any("but the key was held by" in one for one in found), found


def test_timestamps_twice_or_backwards() -> None:
    ids = [replace(sighting(CLIENT_A, 0.1, 1), method=Method.ALLOC_ID)]
    fine = [*ids, sighting(CLIENT_A, 0.1, 1), sighting(CLIENT_A, 0.2, 5)]
    assert list(checkers.check_values(Sightings(fine), at_least=1)) == []
    for planted, words in ((6, "handed out twice"), (2, "handed out twice"), (-9, "went back")):
        bad = Sightings([*fine, sighting(CLIENT_B, 0.3, planted)])
        found = list(checkers.check_values(bad, at_least=1))
        assert any(words in one for one in found), (planted, found)
    assert list(checkers.check_values(Sightings(fine), at_least=20)), "too few to judge"
