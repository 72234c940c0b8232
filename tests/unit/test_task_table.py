"""A table of tasks: moves, due times, deadlines, retries, stories."""

from __future__ import annotations

from enum import Enum

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from milvus_coord.model.errors import IllegalMove
from milvus_coord.role.tasks.table import STORY_MAX, Moves, TaskTable


class Build(Enum):
    INIT = 1
    BUILDING = 2
    RETRY = 3
    DONE = 4


MOVES = Moves(
    kind="index build",
    legal={
        Build.INIT: frozenset({Build.BUILDING}),
        Build.BUILDING: frozenset({Build.BUILDING, Build.RETRY, Build.DONE}),
        Build.RETRY: frozenset({Build.INIT}),
        Build.DONE: frozenset(),
    },
    deadline_s={Build.BUILDING: 120.0},
    tries_max=3,
    retry_first_s=1.0,
    retry_cap_s=3.0,
)

Table = TaskTable[int, Build, str]


def table() -> Table:
    return TaskTable(MOVES)


def ids(tasks: list) -> list[int]:  # type: ignore[type-arg]
    return [task.id for task in tasks]


def test_a_new_task_is_due_at_once() -> None:
    builds = table()
    builds.add(7, Build.INIT, "segment 1", now_s=10.0)
    assert ids(builds.due(10.0)) == [7]
    assert builds[7].value == "segment 1"
    assert (7 in builds, len(builds), ids(list(builds))) == (True, 1, [7])


def test_an_id_is_there_once() -> None:
    builds = table()
    builds.add(7, Build.INIT, "", now_s=10.0)
    with pytest.raises(ValueError, match="index build 7 is there already"):
        builds.add(7, Build.INIT, "", now_s=11.0)


def test_a_final_state_is_never_due() -> None:
    builds = table()
    builds.add(7, Build.BUILDING, "", now_s=0.0)
    builds.move(7, Build.DONE, now_s=1.0, event="finished")
    assert builds.due(1e9) == builds.expired(1e9) == []
    assert not builds.failed(7, now_s=2.0, event="a late failure")


def test_an_illegal_move_names_object_event_and_story_and_changes_nothing() -> None:
    builds = table()
    builds.add(7, Build.INIT, "", now_s=1.0)
    builds.move(7, Build.BUILDING, now_s=2.5, event="node 3 took it")
    with pytest.raises(IllegalMove) as raised:
        builds.move(7, Build.INIT, now_s=3.0, event="node 3 is gone")
    assert str(raised.value) == (
        "index build 7 cannot go from BUILDING to INIT on 'node 3 is gone', its story: "
        "1.000 added -> INIT; 2.500 node 3 took it -> BUILDING"
    )
    assert builds[7].state is Build.BUILDING


def test_a_failure_makes_a_growing_pause_and_the_tries_are_limited() -> None:
    builds = table()
    builds.add(7, Build.INIT, "", now_s=0.0)
    assert builds.failed(7, now_s=0.0, event="refused")
    assert (ids(builds.due(0.9)), ids(builds.due(1.0))) == ([], [7])
    assert builds.failed(7, now_s=1.0, event="refused")
    assert (ids(builds.due(2.9)), ids(builds.due(3.0))) == ([], [7])
    assert not builds.failed(7, now_s=3.0, event="refused")
    assert builds.due(1e9) == []
    builds.move(7, Build.BUILDING, now_s=4.0, event="given up")
    assert (builds[7].failures, ids(builds.due(4.0))) == (0, [7])


def test_pauses_are_capped_however_often_it_fails() -> None:
    assert [MOVES.pause_s(n) for n in (1, 2, 3, 5000)] == [1.0, 2.0, 3.0, 3.0]


def test_a_state_that_lasts_too_long_has_expired_until_it_is_entered_again() -> None:
    builds = table()
    builds.add(7, Build.BUILDING, "", now_s=0.0)
    assert (ids(builds.expired(119.9)), ids(builds.expired(120.0))) == ([], [7])
    builds.move(7, Build.BUILDING, now_s=120.0, event="half done")
    assert (ids(builds.expired(239.9)), ids(builds.expired(240.0))) == ([], [7])


def test_waiting_is_no_failure() -> None:
    builds = table()
    builds.add(7, Build.INIT, "", now_s=0.0)
    builds.wait(7, 5.0, now_s=0.0)
    assert (ids(builds.due(4.9)), ids(builds.due(5.0))) == ([], [7])
    assert builds[7].failures == 0


def test_a_removed_task_gives_its_value_back() -> None:
    builds = table()
    builds.add(7, Build.INIT, "segment 1", now_s=0.0)
    assert (builds.remove(7), builds.remove(7), builds.get(7)) == ("segment 1", None, None)


class Anything(RuleBasedStateMachine):
    """Only legal moves happen, and a task that is neither final nor spent becomes due."""

    @initialize()
    def begin(self) -> None:
        self.table, self.now_s, self.states = table(), 0.0, dict[int, Build]()

    @rule(id_=st.integers(0, 3), state=st.sampled_from(Build))
    def add(self, id_: int, state: Build) -> None:
        try:
            self.table.add(id_, state, "", now_s=self.now_s)
        except ValueError:
            assert id_ in self.states
        else:
            assert id_ not in self.states
            self.states[id_] = state

    @rule(id_=st.integers(0, 3), to=st.sampled_from(Build))
    def move(self, id_: int, to: Build) -> None:
        try:
            self.table.move(id_, to, now_s=self.now_s, event="move")
        except KeyError:
            assert id_ not in self.states
        except IllegalMove:
            assert to not in MOVES.legal[self.states[id_]]
        else:
            assert to in MOVES.legal[self.states[id_]]
            self.states[id_] = to

    @rule(id_=st.integers(0, 3))
    def fail(self, id_: int) -> None:
        if id_ in self.states:
            again = self.table.failed(id_, now_s=self.now_s, event="failed")
            assert again == (self.table[id_].due_s is not None)

    @rule(id_=st.integers(0, 3), seconds=st.floats(0, 500))
    def wait(self, id_: int, seconds: float) -> None:
        if id_ in self.states:
            self.table.wait(id_, seconds, now_s=self.now_s)

    @rule(id_=st.integers(0, 3))
    def remove(self, id_: int) -> None:
        self.table.remove(id_)
        self.states.pop(id_, None)

    @rule(seconds=st.floats(0, 500))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @invariant()
    def agrees(self) -> None:
        assert {task.id: task.state for task in self.table} == self.states
        late_s = self.now_s + 1e6
        due, expired = ids(self.table.due(late_s)), ids(self.table.expired(late_s))
        for task in self.table:
            spent = task.failures >= 3
            assert (task.id in due) == (not MOVES.is_final(task.state) and not spent)
            assert (task.id in expired) == (task.state is Build.BUILDING)
            assert 0 < len(task.story) <= STORY_MAX
            assert task.story[-1].state == task.state.name


TestAnything = Anything.TestCase
