"""Timestamps and ids: never twice, never back, whatever the clock, the store and a restart do."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from milvus_coord.allocator import window
from milvus_coord.allocator.ids import IdAllocator
from milvus_coord.allocator.oracle import GUARD_NS, SAVE_AHEAD_NS, Oracle
from milvus_coord.allocator.timestamps import TICK_S, BadCount, TimestampAllocator
from milvus_coord.model.errors import BadValue, CoordError, FencedOff
from milvus_coord.model.timestamps import LOGICAL_MAX, compose, logical, physical_ms
from milvus_coord.runtime.clock import ManualClock
from testing.forms import examples

SECOND_NS = 1_000_000_000


class Stored:
    """A bound in memory that can refuse to be saved."""

    def __init__(self) -> None:
        self.bound_ns = 0
        self.saves = 0
        self.trouble: Exception | None = None

    async def save(self, bound_ns: int) -> None:
        if self.trouble is not None:
            raise self.trouble
        assert bound_ns > self.bound_ns, "a stored bound never goes back"
        self.bound_ns = bound_ns
        self.saves += 1


def test_format_is_eight_bytes_of_big_endian_nanoseconds() -> None:
    recorded_from_go = bytes.fromhex("18ea95fe28f8468e")
    assert window.encode(1_795_412_320_302_155_406) == recorded_from_go
    assert window.decode("gid/idTimestamp", recorded_from_go) == 1_795_412_320_302_155_406
    assert window.decode("k", window.encode(7)) == 7


@pytest.mark.parametrize("absent", [None, b""])
def test_only_an_absent_bound_is_zero(absent: bytes | None) -> None:
    assert window.decode("tso/timestamp", absent) == 0


def test_another_length_names_the_key() -> None:
    with pytest.raises(BadValue, match="tso/timestamp holds b'soon'"):
        window.decode("tso/timestamp", b"soon")


def test_hybrid_timestamps_of_a_live_cluster() -> None:
    assert compose(1795412317302, 1) == 470656566506815489
    assert physical_ms(compose(5, 9)) == 5
    assert logical(compose(5, 9)) == 9


async def test_starts_at_the_wall_clock_above_an_old_bound() -> None:
    clock, stored = ManualClock(), Stored()
    allocator = TimestampAllocator(stored, clock)
    await allocator.start(clock.wall_ns() - 5 * SECOND_NS)
    assert await allocator.take(1) == compose(clock.wall_ns() // 1_000_000, 1)
    assert stored.bound_ns == clock.wall_ns() + SAVE_AHEAD_NS


async def test_starts_above_a_bound_that_lies_ahead() -> None:
    clock, stored = ManualClock(), Stored()
    allocator = TimestampAllocator(stored, clock)
    ahead_ns = clock.wall_ns() + 2 * SECOND_NS
    await allocator.start(ahead_ns)
    assert physical_ms(await allocator.take(1)) == (ahead_ns + GUARD_NS) // 1_000_000


async def test_nothing_is_handed_out_when_the_first_save_fails() -> None:
    stored = Stored()
    stored.trouble = FencedOff("no longer ours")
    allocator = TimestampAllocator(stored, ManualClock())
    with pytest.raises(FencedOff):
        await allocator.start(0)
    with pytest.raises(CoordError, match="not been started"):
        await allocator.take(1)


@pytest.mark.parametrize("count", [0, -1, LOGICAL_MAX])
async def test_counts_that_can_never_be_had(count: int) -> None:
    allocator = TimestampAllocator(Stored(), ManualClock())
    await allocator.start(0)
    with pytest.raises(BadCount, match=r"tso count should be positive|can not get timestamp"):
        await allocator.take(count)


async def test_saves_once_in_three_seconds() -> None:
    clock, stored = ManualClock(), Stored()
    allocator = TimestampAllocator(stored, clock)
    await allocator.start(0)
    for _ in range(round(30 / TICK_S)):
        clock.advance(TICK_S)
        await allocator.tick()
    assert 9 <= stored.saves <= 12


async def test_wall_clock_an_hour_back_goes_on_upwards() -> None:
    clock, stored = ManualClock(), Stored()
    allocator = TimestampAllocator(stored, clock)
    await allocator.start(0)
    last: int = await allocator.take(1)
    clock.step_wall(-3600)
    for _ in range(5):
        clock.advance(TICK_S)
        await allocator.tick()
        first = await allocator.take(LOGICAL_MAX // 2 + 1)
        assert first > last
        last = first + LOGICAL_MAX // 2


async def test_a_large_block_is_to_be_had_while_the_bound_lies_ahead_of_the_clock() -> None:
    """Less than half is used, so nothing but the block itself asks for the next millisecond."""
    clock, stored = ManualClock(), Stored()
    allocator = TimestampAllocator(stored, clock)
    await allocator.start(clock.wall_ns() + 3600 * SECOND_NS)
    last = await allocator.take(LOGICAL_MAX // 2 - 1) + LOGICAL_MAX // 2 - 2
    waiting = asyncio.create_task(allocator.take(LOGICAL_MAX // 2 + 2))
    for _ in range(3):
        await asyncio.sleep(0)
        await allocator.tick()
        clock.advance(TICK_S)
    assert await waiting > last


@pytest.mark.parametrize("kind", [TimestampAllocator, IdAllocator])
async def test_at_the_end_of_the_range_nothing_is_handed_out(
    kind: type[TimestampAllocator | IdAllocator],
) -> None:
    class Encoding(Stored):
        async def save(self, bound_ns: int) -> None:
            window.encode(bound_ns)
            await super().save(bound_ns)

    allocator = kind(Encoding(), ManualClock())
    with pytest.raises(BadValue, match="the range ends at"):
        await allocator.start(window.BOUND_MAX_NS - SECOND_NS)
    last = kind(Encoding(), ManualClock())
    await last.start(window.BOUND_MAX_NS - 4 * SECOND_NS)
    assert 0 < await last.take(1) < 1 << 63


async def test_ids_of_a_huge_request_are_covered_by_the_bound() -> None:
    clock, stored = ManualClock(), Stored()
    ids = IdAllocator(stored, clock)
    await ids.start(0)
    first = await ids.take(300_000_000)
    waiting = asyncio.create_task(ids.take(700_000_000))
    await asyncio.sleep(0)
    await ids.tick()
    clock.advance(TICK_S)
    second = await waiting
    assert second == first + 300_000_000
    assert compose(stored.bound_ns // 1_000_000, 0) >= second + 700_000_000


async def test_ids_run_out_rather_than_pass_the_bound() -> None:
    clock, stored = ManualClock(), Stored()
    ids = IdAllocator(stored, clock)
    await ids.start(0)
    limit = compose(stored.bound_ns // 1_000_000, 0)
    taken = await ids.take(700_000_000)
    stored.trouble = FencedOff("gone")
    with pytest.raises(FencedOff):
        await ids.tick()
    assert taken + 700_000_000 <= limit
    assert compose(stored.bound_ns // 1_000_000, 0) == limit


class OracleMachine(RuleBasedStateMachine):
    """One oracle after another on one stored bound, under any clock."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_ns = 1_700_000_000 * SECOND_NS
        self.stored_ns = 0
        self.last = 0
        self.oracle: Oracle | None = None

    @rule()
    def lead(self) -> None:
        self.oracle = Oracle.after(self.stored_ns, self.wall_ns)
        self.stored_ns = self.oracle.bound_ns

    @rule(seconds=st.floats(-7200, 7200, allow_nan=False))
    def step_wall(self, seconds: float) -> None:
        self.wall_ns += round(seconds * SECOND_NS)

    @precondition(lambda self: self.oracle is not None)
    @rule(saved=st.booleans())
    def tick(self, saved: bool) -> None:
        assert self.oracle is not None
        physical_ns = self.oracle.next_physical(self.wall_ns)
        if physical_ns is None:
            return
        if self.oracle.needs_save(physical_ns):
            if not saved:
                return
            self.stored_ns = self.oracle.bound_ns = Oracle.ahead(physical_ns)
        self.oracle.move(physical_ns)

    @precondition(lambda self: self.oracle is not None)
    @rule(count=st.integers(1, LOGICAL_MAX - 1))
    def take(self, count: int) -> None:
        assert self.oracle is not None
        first = self.oracle.take(count)
        if first is not None:
            assert first > self.last, "went back or handed out twice"
            assert logical(first) + count - 1 < LOGICAL_MAX, "ran into the next millisecond"
            self.last = first + count - 1

    @invariant()
    def handed_out_below_the_stored_bound(self) -> None:
        assert physical_ms_of(self.last) < max(1, self.stored_ns // 1_000_000)


def physical_ms_of(timestamp: int) -> int:
    return timestamp >> 18


OracleMachine.TestCase.settings = settings(max_examples=examples(200))
TestOracle = OracleMachine.TestCase
