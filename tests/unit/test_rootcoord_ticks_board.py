"""The board of promises: a tick says that nothing at or below it follows, no matter who writes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from milvus_coord.coordinators.rootcoord.ticks.rules import Hold, TickBoard
from milvus_coord.model.errors import IllegalMove, Refused
from milvus_coord.model.timestamps import Timestamp
from testing.forms import examples

A, B = "dml_0", "dml_1"


def board_of(*proxies: int, own: int = 100) -> TickBoard:
    board = TickBoard()
    board.proxies_changed(proxies)
    board.promise(Timestamp(own))
    return board


def test_nothing_is_due_before_the_proxies_are_known() -> None:
    board = TickBoard()
    board.promise(Timestamp(100))
    assert board.due(A) is None
    assert board.why(A) == "the proxies have not been listed yet"
    board.proxies_changed([])
    assert board.due(A) == 100


def test_nothing_is_due_without_a_timestamp_of_our_own() -> None:
    board = TickBoard()
    board.proxies_changed([7])
    board.report(7, [], [], 2**64 - 1)
    assert board.due(A) is None


def test_the_least_promise_wins_and_channels_differ() -> None:
    board = board_of(7, 8)
    board.report(7, [A], [40], 90)
    board.report(8, [B], [60], 80)
    assert (board.due(A), board.due(B)) == (40, 60)
    assert "proxy 7" in board.why(A)


def test_a_proxy_that_never_reported_blocks_until_its_first_report() -> None:
    board = board_of(7, 8)
    board.report(7, [], [], 90)
    assert board.due(A) is None
    assert board.awaited == [8]
    assert "proxy 8" in board.why(A)
    board.report(8, [], [], 95)
    assert board.due(A) == 90


def test_a_silent_proxy_holds_its_last_promise_until_its_session_ends() -> None:
    board = board_of(7)
    board.report(7, [], [], 50)
    board.offer(A, Timestamp(50))
    board.promise(Timestamp(200))
    assert board.due(A) is None
    board.proxies_changed([7])
    assert board.due(A) is None
    board.proxies_changed([])
    assert board.due(A) == 200


def test_a_newcomer_never_lowers_a_tick() -> None:
    board = board_of()
    board.offer(A, Timestamp(100))
    board.proxies_changed([9])
    board.report(9, [A], [60], 60)
    assert board.due(A) is None
    board.report(9, [], [], 110)
    board.promise(Timestamp(120))
    assert board.due(A) == 110


def test_a_report_that_comes_late_is_ignored() -> None:
    board = board_of(7)
    assert board.report(7, [], [], 90)
    assert not board.report(7, [A], [20], 80)
    assert board.due(A) == 90


def test_a_report_of_nothing_is_ignored_even_from_strangers() -> None:
    assert not board_of().report(5, [], [], 0)


@pytest.mark.parametrize("source", [5, 6])
def test_lists_of_unequal_length_are_refused_in_the_words_of_go(source: int) -> None:
    with pytest.raises(Refused, match=r"^invalid TimeTickMsg, timestamp and channelname size mis"):
        board_of(5).report(source, [A, B], [1], 90)


def test_strangers_are_refused_in_the_words_of_go() -> None:
    text = r"^skip ChannelTimeTickMsg from un-recognized session 6$"
    with pytest.raises(Refused, match=text):
        board_of(5).report(6, [], [], 90)


def test_a_hold_keeps_ticks_below_its_timestamp_on_its_channels_alone() -> None:
    board = board_of(own=100)
    held = board.hold([A, A])
    board.promise(Timestamp(105))
    assert (board.due(A), board.due(B)) == (100, 105)
    board.settle(held, Timestamp(103))
    assert board.due(A) == 102
    assert "statement" in board.why(A)
    board.release(held)
    assert board.due(A) == 105


def test_a_hold_without_a_timestamp_can_be_released() -> None:
    board = board_of()
    board.release(board.hold([A]))
    assert board.due(A) == 100


def test_a_timestamp_at_or_below_our_own_promise_is_a_bug() -> None:
    board = board_of(own=100)
    held = board.hold([A])
    with pytest.raises(IllegalMove):
        board.settle(held, Timestamp(100))


@pytest.mark.parametrize("tick", [50, 101])
def test_a_tick_that_is_not_due_is_a_bug(tick: int) -> None:
    board = board_of(own=100)
    board.offer(A, Timestamp(50))
    with pytest.raises(IllegalMove):
        board.offer(A, Timestamp(tick))


@dataclass
class ModelProxy:
    """A proxy as Go's: writes in flight, and reports of it that are still under way."""

    writes: list[tuple[str, int]] = field(default_factory=list)
    reports: list[tuple[list[str], list[int], int]] = field(default_factory=list)


@dataclass
class Statement:
    """One of ours; `ts` is 0 while it is being taken."""

    held: Hold
    channels: list[str]
    ts: int = 0
    settled: bool = False


CHANNELS = st.sampled_from([A, B])


class BoardMachine(RuleBasedStateMachine):
    """Writers with one clock. After a tick nothing at or below it may still be on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.board = TickBoard()
        self.board.proxies_changed([])
        self.now = 0
        self.proxies: dict[int, ModelProxy] = {}
        self.statements: list[Statement] = []
        self.promises: list[int] = []
        self.last: dict[str, int] = {A: 0, B: 0}
        self.next_id = 1

    def take(self) -> int:
        self.now += 1
        return self.now

    def some(self, choice: int) -> ModelProxy:
        return self.proxies[sorted(self.proxies)[choice % len(self.proxies)]]

    @precondition(lambda self: len(self.proxies) < 2)
    @rule()
    def proxy_comes(self) -> None:
        self.proxies[self.next_id] = ModelProxy()
        self.next_id += 1
        self.board.proxies_changed(self.proxies)

    @precondition(lambda self: self.proxies)
    @rule(choice=st.integers(0, 9))
    def proxy_goes(self, choice: int) -> None:
        """Whatever it still writes is written by nobody whom we know."""
        del self.proxies[sorted(self.proxies)[choice % len(self.proxies)]]
        self.board.proxies_changed(self.proxies)

    @precondition(lambda self: self.proxies)
    @rule(choice=st.integers(0, 9), channel=CHANNELS)
    def write_begins(self, choice: int, channel: str) -> None:
        self.some(choice).writes.append((channel, self.take()))

    @precondition(lambda self: self.proxies)
    @rule(choice=st.integers(0, 9), which=st.integers(0, 9))
    def write_ends(self, choice: int, which: int) -> None:
        if writes := self.some(choice).writes:
            del writes[which % len(writes)]

    @precondition(lambda self: self.proxies)
    @rule(choice=st.integers(0, 9), listed=st.sets(CHANNELS), late=st.booleans())
    def proxy_reports(self, choice: int, listed: set[str], late: bool) -> None:
        """Made now, maybe delivered later and after newer ones."""
        proxy = self.some(choice)
        default = self.take()
        channels = sorted(listed | {channel for channel, _ in proxy.writes})
        least = [
            min((ts for each, ts in proxy.writes if each == channel), default=default + 1) - 1
            for channel in channels
        ]
        proxy.reports.append((channels, least, default))
        if not late:
            self.report_arrives(choice, len(proxy.reports) - 1)

    @precondition(lambda self: any(proxy.reports for proxy in self.proxies.values()))
    @rule(choice=st.integers(0, 9), which=st.integers(0, 9))
    def report_arrives(self, choice: int, which: int) -> None:
        server_id = sorted(self.proxies)[choice % len(self.proxies)]
        if reports := self.proxies[server_id].reports:
            self.board.report(server_id, *reports.pop(which % len(reports)))

    @rule(late=st.booleans())
    def own_promise(self, late: bool) -> None:
        """The timestamp is taken now, maybe promised later."""
        self.promises.append(self.take())
        if not late:
            for ts in self.promises:
                self.board.promise(Timestamp(ts))
            self.promises.clear()

    @rule(channels=st.lists(CHANNELS, min_size=1, max_size=3))
    def statement_begins(self, channels: list[str]) -> None:
        self.statements.append(Statement(self.board.hold(channels), channels))

    @precondition(lambda self: self.statements)
    @rule(which=st.integers(0, 9))
    def statement_goes_on(self, which: int) -> None:
        """Its timestamp is taken; then it learns of it; then its message is out."""
        statement = self.statements[which % len(self.statements)]
        if not statement.ts:
            statement.ts = self.take()
        elif not statement.settled:
            self.board.settle(statement.held, Timestamp(statement.ts))
            statement.settled = True
        else:
            self.statements.remove(statement)
            self.board.release(statement.held)

    @rule(channel=CHANNELS)
    def tick(self, channel: str) -> None:
        if (tick := self.board.due(channel)) is not None:
            self.board.offer(channel, tick)
            assert tick > self.last[channel], "not larger than the last"
            self.last[channel] = tick

    @precondition(lambda self: not self.statements)
    @rule()
    def all_report_and_none_writes(self) -> None:
        for server_id, proxy in self.proxies.items():
            proxy.writes.clear()
            proxy.reports.clear()
            assert self.board.report(server_id, [], [], self.take())
        oldest = self.now - len(self.proxies)
        self.board.promise(Timestamp(self.take()))
        for channel in (A, B):
            due = self.board.due(channel)
            assert due is not None, self.board.why(channel)
            assert due > oldest

    @invariant()
    def nothing_on_its_way_is_behind_a_tick(self) -> None:
        for proxy in self.proxies.values():
            for channel, ts in proxy.writes:
                assert ts > self.last[channel], "a write came behind a tick"
        for statement in self.statements:
            for channel in statement.channels:
                assert (statement.ts or self.now + 1) > self.last[channel], "a message came late"


BoardMachine.TestCase.settings = settings(max_examples=examples(100), stateful_step_count=50)
TestBoard = BoardMachine.TestCase
