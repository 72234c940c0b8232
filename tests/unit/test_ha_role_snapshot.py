"""The snapshot of a role's keys: what is older, or only alike, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.etcd.values import Batch, Event, EventKind, KeyValue, Listing
from milvus_coord.ha.pair.challenge_record import Challenge
from milvus_coord.ha.pair.keys import Keys, number_after
from milvus_coord.ha.pair.operator_records import Pause, SwitchoverRequest
from milvus_coord.ha.pair.session_record import SessionRecord
from milvus_coord.ha.pair.snapshot_reducer import SnapshotReducer
from milvus_coord.ha.pair.takeover import Cause, Takeover
from testing.fake_pair import status_of

KEYS = Keys("by-dev/meta", "rootcoord")
OURS = SessionRecord(7, "rootcoord", "h:1", fenced=True).encode()
OTHER = 0xB


def active_key(value: bytes = OURS, *, at: int = 10) -> KeyValue:
    return KeyValue(KEYS.active, value, OTHER, 1, 10, at)


def take(reducer: SnapshotReducer, prefix: bytes, *events: Event) -> None:
    reducer.take(prefix, Batch(events, events[-1].kv.mod_revision), 1.0)


def put(kv: KeyValue) -> Event:
    return Event(EventKind.PUT, kv)


def gone(key: bytes, revision: int) -> Event:
    return Event(EventKind.DELETE, KeyValue(key, b"", 0, 0, 0, revision))


def test_the_last_readable_holder_is_remembered() -> None:
    reducer = SnapshotReducer(KEYS)
    for event in (put(active_key(at=10)), put(active_key(b"{junk", at=11)), gone(KEYS.active, 12)):
        take(reducer, KEYS.active, event)
    found = reducer.snapshot()
    assert (found.active, found.holder, found.active_revision) == (None, None, 12)
    assert found.last_holder is not None
    assert found.last_holder.server_id == 7


def test_nothing_older_than_what_is_known_is_taken() -> None:
    reducer = SnapshotReducer(KEYS)
    reducer.observe_active(active_key(at=20), revision=25)
    take(reducer, KEYS.active, gone(KEYS.active, 15))
    take(reducer, KEYS.active, put(active_key(at=18)))
    reducer.observe_active(None, revision=19)
    assert reducer.snapshot().epoch == 20
    reducer.observe_active(None, revision=30)
    assert reducer.snapshot().active is None


@pytest.mark.parametrize(
    "there", [None, active_key(SessionRecord(8, "rootcoord", "h:2").encode(), at=400)]
)
def test_a_listing_of_a_store_that_fell_back_is_the_truth(there: KeyValue | None) -> None:
    reducer = SnapshotReducer(KEYS)
    reducer.observe_active(active_key(at=1000), revision=1000)
    reducer.take(KEYS.active, Listing((there,) if there else (), 500), 1.0)
    found = reducer.snapshot()
    assert (found.active, found.active_revision) == (there, 400 if there else 500)
    assert (found.holder is None) == (there is None)
    take(reducer, KEYS.active, put(active_key(at=501)))
    assert reducer.snapshot().epoch == 501


def test_what_was_heard_stays_heard_when_it_is_listed_anew() -> None:
    reducer = SnapshotReducer(KEYS)
    take(reducer, KEYS.ha, put(KeyValue(KEYS.status(8), status_of(8).encode(), OTHER, 1, 1, 10)))
    newer = KeyValue(KEYS.status(8), status_of(8, ready=False).encode(), OTHER, 1, 2, 11)
    reducer.take(KEYS.ha, Listing((newer,), 12), 1.5)
    seen = reducer.snapshot().statuses[8]
    assert (seen.revision, seen.seen_s, seen.listed) == (11, 1.0, False)
    assert not seen.status.ready


def test_a_listing_replaces_the_instances_and_skips_what_is_only_alike() -> None:
    reducer = SnapshotReducer(KEYS)
    here = KeyValue(KEYS.instance(7), OURS, OTHER, 1, 5, 5)
    alike = KeyValue(KEYS.active + b"inator", OURS, OTHER, 1, 6, 6)
    take(reducer, KEYS.active, put(KeyValue(KEYS.instance(3), OURS, OTHER, 1, 4, 4)))
    reducer.take(KEYS.active, Listing((here, alike), 9), 1.0)
    found = reducer.snapshot()
    assert set(found.sessions) == {7}
    assert (found.active, found.active_revision) == (None, 9)
    assert len(found.unreadable) == 1


def test_both_prefixes_must_be_listed() -> None:
    for first, second in ((KEYS.active, KEYS.ha), (KEYS.ha, KEYS.active)):
        reducer = SnapshotReducer(KEYS)
        reducer.take(first, Listing((), 9), 1.0)
        assert not reducer.snapshot().listed
        reducer.take(second, Listing((), 9), 1.0)
        assert reducer.snapshot().listed
        assert not reducer.snapshot().exists


def test_keys_that_are_made_otherwise_have_no_number() -> None:
    assert number_after(KEYS.statuses, KEYS.status(12)) == 12
    for rest in (b"", b"012", b"-1", b"7x", b"\xd9\xa1", b"9" * 20, b"1_0", b" 1"):
        assert number_after(KEYS.statuses, KEYS.statuses + rest) is None
    assert number_after(KEYS.statuses, KEYS.challenge(1)) is None


def test_an_entry_under_another_epoch_is_no_entry() -> None:
    reducer = SnapshotReducer(KEYS)
    entry = Takeover(7, 1, "h:1", 2, "h:2", Cause.SILENT, 3)
    take(reducer, KEYS.ha, put(KeyValue(KEYS.takeover(8), entry.encode(), 0, 1, 9, 9)))
    assert reducer.snapshot().history == ()
    assert "holds epoch 7" in reducer.snapshot().unreadable[0]


VALUES = {
    KEYS.active: (OURS, b"{junk"),
    KEYS.instance(7): (OURS, b"{junk", SessionRecord(8, "rootcoord", "h:2").encode()),
    KEYS.active + b"-007": (OURS,),
    KEYS.leadership: (b"{}",),
    KEYS.status(7): (status_of(7).encode(), status_of(7, ready=False).encode(), b""),
    KEYS.challenge(8): (Challenge("c", 7).encode(), b"["),
    KEYS.answer(8): (Challenge("a", 7).encode(), b"["),
    KEYS.paused: (Pause("ann", 5).encode(), b"x"),
    KEYS.switchover: (SwitchoverRequest("n", 7, 0, "ann").encode(), b"x"),
    KEYS.takeover(7): (Takeover(7, 1, "h:1", 2, "h:2", Cause.SILENT, 3).encode(), b"x"),
    KEYS.ha + b"beacon-7": (b"",),
}
CHANGES = st.sampled_from(
    [(key, value) for key, values in VALUES.items() for value in (*values, None)]
)


def listings(kvs: Iterable[KeyValue], revision: int) -> Iterable[tuple[bytes, Listing]]:
    known = list(kvs)
    for prefix in (KEYS.active, KEYS.ha):
        yield prefix, Listing(tuple(kv for kv in known if kv.key.startswith(prefix)), revision)


@given(st.lists(CHANGES, max_size=40), st.integers(0, 40))
def test_following_says_what_a_fresh_listing_says(
    changes: list[tuple[bytes, bytes | None]], listed_at: int
) -> None:
    """Whatever came one by one, or was missed until a new listing."""
    followed, store = SnapshotReducer(KEYS), dict[bytes, KeyValue]()
    for revision, (key, value) in enumerate(changes, 1):
        if value is None:
            event = gone(key, revision) if store.pop(key, None) else None
        else:
            store[key] = KeyValue(key, value, OTHER, 1, revision, revision)
            event = put(store[key])
        prefix = KEYS.ha if key.startswith(KEYS.ha) else KEYS.active
        if event is not None and revision > listed_at:
            take(followed, prefix, event)
        elif revision == listed_at:
            for each, listing in listings(store.values(), revision):
                followed.take(each, listing, 1.0)
    if len(changes) <= listed_at:
        for each, listing in listings(store.values(), len(changes)):
            followed.take(each, listing, 1.0)
    fresh = SnapshotReducer(KEYS)
    for each, listing in listings(store.values(), len(changes) + 1):
        fresh.take(each, listing, 1.0)
    for field in ("active", "holder", "sessions", "leadership_revision", "challenges", "answers"):
        assert getattr(followed.snapshot(), field) == getattr(fresh.snapshot(), field), field
    for field in ("pause", "switchover", "request", "history", "unreadable", "exists", "instances"):
        assert getattr(followed.snapshot(), field) == getattr(fresh.snapshot(), field), field
