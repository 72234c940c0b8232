"""The executor: limits, outcomes, nodes that go, and the end of a term."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_coord.model.errors import CoordError, FencedOff, Refused
from milvus_coord.role.tasks.executor import ActionCancelled, Executor, Outcome
from testing.role_world import turns

Builds = Executor[int, str, str]


def executor(group: asyncio.TaskGroup, *, per_node: int = 2, in_all: int = 3) -> Builds:
    return Executor(group, name="test.build", per_node=per_node, in_all=in_all)


async def returns() -> str:
    return "built"


async def endless() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_what_an_action_returns_or_raises_is_its_outcome() -> None:
    async def refused() -> str:
        raise Refused("no room")

    async def broken() -> str:
        raise ZeroDivisionError("a bug")

    async with asyncio.TaskGroup() as group:
        builds = executor(group)
        for id_, action in enumerate((returns, refused, broken)):
            assert builds.start(id_, f"node {id_}", action)
        await builds.wake.wait()
        await turns()
        first, second, third = builds.outcomes()
    assert first == Outcome(0, "node 0", result="built")
    assert (second.result, str(second.error)) == (None, "no room")
    assert (third.result, str(third.error)) == (None, "ZeroDivisionError: a bug")
    assert builds.outcomes() == []


async def test_limits_per_node_in_all_and_per_task() -> None:
    async with asyncio.TaskGroup() as group:
        builds = executor(group)
        assert (builds.start(1, "a", endless), builds.start(1, "b", endless)) == (True, False)
        assert (builds.start(2, "a", endless), builds.start(3, "a", endless)) == (True, False)
        assert (builds.start(3, "b", endless), builds.start(4, "c", endless)) == (True, False)
        assert (builds.room("a"), builds.room("c"), len(builds)) == (0, 0, 3)
        builds.cancel(1, "not wanted any more")
        await turns()
        assert (builds.room("a"), builds.is_running(1), builds.is_running(2)) == (1, False, True)
        assert builds.start(4, "c", returns)
        await turns()
        for id_ in (2, 3):
            builds.cancel(id_, "the test ends")


async def test_the_actions_of_a_node_that_is_gone_are_cut_off_even_before_they_begin() -> None:
    async with asyncio.TaskGroup() as group:
        builds = executor(group)
        builds.start(1, "a", endless)
        await turns()
        builds.start(2, "a", endless)
        builds.start(3, "b", endless)
        builds.node_gone("a")
        await turns()
        outcomes = builds.outcomes()
        builds.cancel(3, "the test ends")
    assert {outcome.id for outcome in outcomes} == {1, 2}
    assert all(isinstance(outcome.error, ActionCancelled) for outcome in outcomes)
    assert {str(outcome.error) for outcome in outcomes} == {"node a is gone"}


async def test_the_loss_of_the_right_to_write_ends_the_term() -> None:
    async def fenced_off() -> str:
        raise FencedOff("another leads")

    with pytest.raises(ExceptionGroup) as ended:
        async with asyncio.TaskGroup() as group:
            executor(group).start(1, "a", fenced_off)
    assert [type(error) for error in ended.value.exceptions] == [FencedOff]


async def test_nothing_is_started_while_the_term_is_being_left() -> None:
    started: list[bool] = []

    async def term() -> None:
        async with asyncio.TaskGroup() as group:
            builds = executor(group)

            async def late() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    started.append(builds.start(1, "a", returns))

            group.create_task(late())
            await asyncio.sleep(0)
            raise CoordError("over")

    with pytest.raises(ExceptionGroup):
        await term()
    assert started == [False]


@given(st.lists(st.tuples(st.sampled_from(["start", "stop", "gone"]), st.integers(0, 5))))
async def test_limits_hold_whatever_happens(steps: list[tuple[str, int]]) -> None:
    running: Counter[str] = Counter()

    async def term() -> None:
        async with asyncio.TaskGroup() as group:
            builds = executor(group)

            def action_on(node: str) -> object:
                async def act() -> str:
                    running[node] += 1
                    try:
                        return await endless()
                    finally:
                        running[node] -= 1

                return act

            for what, number in steps:
                node = "ab"[number % 2]
                if what == "start":
                    builds.start(number, node, action_on(node))  # type: ignore[arg-type]
                elif what == "stop":
                    builds.cancel(number, "stopped")
                else:
                    builds.node_gone(node)
                await asyncio.sleep(0)
                assert max(running.values(), default=0) <= 2
                assert running.total() <= 3
            builds.node_gone("a")
            builds.node_gone("b")
            await turns()
            assert (len(builds), running.total()) == (0, 0)

    await term()
