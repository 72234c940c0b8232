"""What must hold in every run, whatever was broken: pure functions of its histories.

Each yields a violation in words, with the entries that contradict each other.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from milvus_coord.ha.pair.takeover import Cause
from testing.ddl_stored import CREATED
from testing.messages import message_class
from testing.sightings import Method, Sightings
from tests.rig.registers import PROPERTY, Read, Write
from tests.rig.store_history import ACTIVE_KEY, HA, KV, META, Change, Holdings, StoreHistory

_COLLECTIONS: Final = f"{META}root-coord/database/collection-info/"
_TOMBSTONE: Final = b"\xe2\x9b\xbc"
_MARK: Final = f"{HA}mark"
_BOUNDS: Final = (f"{KV}tso/timestamp", f"{KV}gid/idTimestamp")
_GUARDED: Final = (
    f"{META}root-coord/", _MARK, f"{META}snapshots/", f"{HA}history/", f"{HA}leadership", *_BOUNDS
)  # fmt: skip


def check_store(store: StoreHistory) -> Iterator[str]:
    """All that can be told from the store alone."""
    yield from check_complete(store)
    yield from check_epochs(store)
    yield from check_guarded(store)
    yield from check_writers(store)
    yield from check_bounds(store)


def check_complete(store: StoreHistory) -> Iterator[str]:
    """No revision is missing: nothing escaped us."""
    seen = sorted({change.revision for change in store.changes})
    if not seen:
        yield "the store's history is empty"
        return
    for before, after in itertools.pairwise([store.first - 1, *seen]):
        if after != before + 1:
            yield f"revisions {before + 1} to {after - 1} of the store were not recorded"


def check_epochs(store: StoreHistory) -> Iterator[str]:
    """Every claim writes the leadership key in its transaction; who gives the key up led before.

    A hand-over writes the active key for the heir and RELEASED for the giver at once; the heir then
    claims it. A term that ends while the leader before it may still serve says why, but leaves
    HELD.
    """
    holdings = Holdings(store.holdings())
    for change in store.of(f"{HA}leadership"):
        if change.value is None:
            continue
        said = json.loads(change.value)
        if said["state"] == "held" and not said["why"]:
            holding = holdings.begun_at(change.revision)
            if holding is None or holding.server_id != said["server_id"]:
                yield f"{change} says that its server leads, but the active key is of {holding}"
        else:
            holding = holdings.before(change.revision)
            if holding is None or holding.server_id != said["server_id"]:
                yield f"{change} ends a term, but the active key was of {holding}"


def check_guarded(store: StoreHistory) -> Iterator[str]:
    """No metadata was written while nobody held the active key."""
    holdings = Holdings(store.holdings())
    for change in store.changes:
        guarded = change.key.startswith(_GUARDED)
        if guarded and holdings.before(change.revision) is None:
            begins = holdings.begun_at(change.revision)
            if begins is None or change.key != f"{HA}leadership":
                yield f"{change.key} was written at {change.revision}, when nobody led"


def check_writers(store: StoreHistory) -> Iterator[str]:
    """A write that names its epoch was applied in that epoch: nothing of a deposed leader was."""
    holdings = Holdings(store.holdings())
    for change in store.changes:
        if change.value is None:
            continue
        if (epoch := _epoch_named(change)) is None:
            continue
        holding = holdings.before(change.revision)
        if holding is None or holding.epoch != epoch:
            yield f"{change.key} of epoch {epoch} was written at {change.revision} under {holding}"


def _epoch_named(change: Change) -> int | None:
    assert change.value is not None
    if change.key == _MARK:
        return int(change.value)
    if change.key.startswith(f"{HA}history/"):
        return int(change.key.rpartition("/")[2])
    if change.key.startswith(f"{HA}answer-"):
        return int(json.loads(change.value)["epoch"])
    return None


def check_bounds(store: StoreHistory) -> Iterator[str]:
    """The stored ends of the windows of timestamps and ids grow."""
    for key in _BOUNDS:
        writes = [one for one in store.changes if one.key == key and one.value is not None]
        for before, after in itertools.pairwise(writes):
            if _number(after) <= _number(before):
                yield f"{key} went back: {before}, {after}"


def _number(change: Change) -> int:
    return int.from_bytes(change.value or b"", "big")


class Placed:
    """The values of registers in the order of their revisions."""

    def __init__(self, store: StoreHistory) -> None:
        info: Any = message_class("etcd.CollectionInfo")
        self.revision: dict[int, int] = {}
        self.of: dict[str, list[int]] = defaultdict(list)
        for change in store.of(_COLLECTIONS):
            if change.value is None or change.value == _TOMBSTONE:
                continue
            record = info.FromString(change.value)
            if record.state != CREATED:
                continue
            for each in record.properties:
                if each.key == PROPERTY and int(each.value) not in self.revision:
                    self.revision[int(each.value)] = change.revision
                    self.of[record.schema.name].append(int(each.value))


def check_registers(
    store: StoreHistory,
    writes: Sequence[Write],
    reads: Sequence[Read],
    instances: Mapping[str, str],
) -> Iterator[str]:
    """Writes and reads are linearizable in the order of the revisions, and none was lost.

    Args:
        instances: for each address of clients the address that the session of the same
            coordinator names.
    """
    placed = Placed(store)
    holdings = Holdings(store.holdings())
    by_value = {write.value: write for write in writes}
    for value, revision in placed.revision.items():
        if value not in by_value:
            yield f"nobody wrote the value {value} at revision {revision}"
            continue
        holding, by = holdings.before(revision), by_value[value].address
        if by and (holding is None or holding.address != instances.get(by)):
            yield f"{by_value[value]} was applied at {revision} under another leader: {holding}"
    for write in writes:
        if write.acked_s is not None and write.value not in placed.revision:
            yield f"{write} was acknowledged and is not there"
    yield from _check_order(placed, writes)
    yield from _check_reads(placed, by_value, writes, reads)


def _check_order(placed: Placed, writes: Sequence[Write]) -> Iterator[str]:
    """A write that was sent after another was acknowledged comes after it."""
    for name, acked in _by_ack(placed, writes).items():
        sent = sorted(
            (one for one in writes if one.name == name and one.value in placed.revision),
            key=lambda one: one.sent_s,
        )
        yield from _behind(placed, acked, [(one.sent_s, one.value, one) for one in sent])


def _check_reads(
    placed: Placed, by_value: Mapping[int, Write], writes: Sequence[Write], reads: Sequence[Read]
) -> Iterator[str]:
    """What is read was written, before the read ended, and nothing newer was known before it."""
    acked = _by_ack(placed, writes)
    for read in reads:
        if read.value is None:
            continue
        if read.value not in placed.revision:
            yield f"{read} is of a value that never was in the store"
        elif by_value[read.value].sent_s > read.received_s:
            yield f"{read} comes before {by_value[read.value]}"
    for name, known in acked.items():
        valid = (one for one in reads if one.name == name and _is_placed(placed, one))
        mine = sorted(valid, key=lambda one: one.sent_s)
        yield from _behind(placed, known, [(one.sent_s, one.value, one) for one in mine])
    yield from _check_reads_agree(placed, reads)


def _check_reads_agree(placed: Placed, reads: Sequence[Read]) -> Iterator[str]:
    """A read that began after another had ended sees nothing older."""
    for name in {one.name for one in reads}:
        mine = [one for one in reads if one.name == name and _is_placed(placed, one)]
        ended = [
            (one.received_s, _revision(placed, one.value), one)
            for one in sorted(mine, key=lambda one: one.received_s)
        ]
        begun = [(one.sent_s, one.value, one) for one in sorted(mine, key=lambda one: one.sent_s)]
        yield from _behind(placed, ended, begun)


def _is_placed(placed: Placed, read: Read) -> bool:
    return read.value is None or read.value in placed.revision


def _revision(placed: Placed, value: int | None) -> int:
    return 0 if value is None else placed.revision[value]


def _by_ack(placed: Placed, writes: Sequence[Write]) -> dict[str, list[tuple[float, int, object]]]:
    """For each register: when its writes were acknowledged, and their revisions."""
    found: dict[str, list[tuple[float, int, object]]] = defaultdict(list)
    acked = [one for one in writes if one.acked_s is not None and one.value in placed.revision]
    for one in sorted(acked, key=lambda each: each.acked_s or 0):
        found[one.name].append((one.acked_s or 0, placed.revision[one.value], one))
    return found


def _behind(
    placed: Placed,
    known: Sequence[tuple[float, int, object]],
    later: Sequence[tuple[float, int | None, object]],
) -> Iterator[str]:
    """Each of `later`, by its sending, against the newest of `known` that was known by then."""
    at = 0
    newest: tuple[float, int, object] = (0.0, 0, None)
    for sent_s, value, one in later:
        while at < len(known) and known[at][0] < sent_s:
            newest = max(newest, known[at], key=lambda each: each[1])
            at += 1
        if _revision(placed, value) < newest[1]:
            yield f"{one} is behind {newest[2]}, which was known before"


def check_values(seen: Sightings, *, at_least: int) -> Iterator[str]:
    """Timestamps and ids are unique, and grow for one that asks again and again."""
    for method in (Method.ALLOC_TIMESTAMP, Method.ALLOC_ID):
        try:
            seen.check_values(method, at_least=at_least)
        except AssertionError as error:
            yield str(error)


def check_one_at_a_time(
    seen: Sightings, store: StoreHistory, instances: Mapping[str, str]
) -> Iterator[str]:
    """Those who answered did so one after the other, in the order of their terms."""
    answered = [instances[each.address] for each in seen.tenures()]
    held = iter(holding.address for holding in store.holdings())
    for number, address in enumerate(answered):
        if address not in held:  # consumes: `answered` is to be a subsequence of `held`
            order = [holding.address for holding in store.holdings()]
            yield f"answers came from {answered[: number + 1]}, but the key was held by {order}"
            return


def check_history(store: StoreHistory, expected: Sequence[str]) -> Iterator[str]:
    """The history of takeovers has these causes, in the order of their epochs.

    Which sign of several ends an active first is chance: one early cause counts as another.
    """
    causes: dict[str, str] = {}
    for change in store.of(f"{HA}history/"):
        if change.value is not None:
            causes[change.key] = json.loads(change.value)["cause"]
    found = [causes[key] for key in sorted(causes)]
    if [Cause(one).early or one for one in found] != [Cause(one).early or one for one in expected]:
        yield f"the history tells of {found}, not of {list(expected)}"


def check_same_holder(store: StoreHistory, since: int) -> Iterator[str]:
    """The active key was not touched after revision `since`."""
    for change in store.of(ACTIVE_KEY):
        if change.key == ACTIVE_KEY and change.revision > since:
            yield f"there was a needless failover: {change}"
