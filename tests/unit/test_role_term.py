"""The template of a term: its order, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.role.term import RoleTerm, Tasks
from milvus_coord.rpc.server.dispatcher import Service
from milvus_coord.runtime.loop import Loop
from milvus_coord.runtime.race import cancel_and_wait
from milvus_coord.runtime.taskgroup import TaskGroup
from testing.ha_term import Scene, a_scene
from testing.role_world import turns


class SpyTerm(RoleTerm):
    """Writes down each step as it comes; the step named `broken` fails."""

    def __init__(self, scene: Scene) -> None:
        self.steps: list[str] = []
        self.broken = ""
        context: Any = SimpleNamespace(clock=scene.clock)
        mirror = SimpleNamespace(catch_up=lambda _: self._step("catch up"))
        super().__init__(context, scene.term, cast(Mirror[Any], mirror))

    async def _step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.broken:
            raise RuntimeError(name)

    def watch(self) -> Tasks:
        return {"watch": self._step("watch")}

    def recover(self) -> Tasks:
        return {"recover": self._step("recover")}

    async def write_missing(self) -> None:
        await self._step("write")

    def services(self, tasks: TaskGroup) -> Sequence[Service]:
        self.steps.append("services")
        return ()

    def work(self) -> Tasks:
        return {"work": self._step("work")}

    def loops(self) -> Iterator[Loop]:
        async def turn() -> None:
            await self._step("turn")

        yield Loop("test", 60.0, turn)

    async def close(self) -> None:
        self.steps.append("close")


RECOVERED = ["watch", "catch up", "recover", "write"]


@asynccontextmanager
async def running(scene: Scene, term: SpyTerm) -> AsyncIterator[asyncio.Task[None]]:
    def serve(_: Sequence[Service]) -> None:
        term.steps.append("serve")

    task = asyncio.create_task(term.run(serve))
    try:
        yield task
    finally:
        await cancel_and_wait(task)


async def test_nothing_unfenced_happens_before_the_predecessor_has_stopped() -> None:
    async with a_scene() as scene:
        object.__setattr__(scene.term, "predecessor_stopped_at", scene.clock.boottime() + 2.0)
        term = SpyTerm(scene)
        async with running(scene, term):
            await turns()
            assert term.steps == RECOVERED
            scene.clock.advance(1.9)
            await turns()
            assert term.steps == RECOVERED
            scene.clock.advance(0.1)
            await turns()
            assert term.steps == [*RECOVERED, "services", "serve"]


async def test_what_can_wait_begins_after_the_first_answers() -> None:
    async with a_scene() as scene:
        term = SpyTerm(scene)
        async with running(scene, term):
            await turns()
            assert term.steps == [*RECOVERED, "services", "serve"]
            scene.term.first_answers_done.set()
            await turns()
            assert term.steps == [*RECOVERED, "services", "serve", "work", "turn"]
        assert term.steps[-1] == "close"


@pytest.mark.parametrize("broken", ["watch", "catch up", "recover", "write", "work", "turn"])
async def test_whatever_fails_ends_the_term_and_lets_go(broken: str) -> None:
    async with a_scene() as scene:
        scene.term.first_answers_done.set()
        term = SpyTerm(scene)
        term.broken = broken
        async with running(scene, term) as task:
            await turns()
            assert task.done()
            with pytest.raises((RuntimeError, ExceptionGroup)):
                task.result()
        assert term.steps[-1] == "close"
