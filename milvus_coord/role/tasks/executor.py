"""Acts on nodes for the tasks of a table: so many actions at a time on each node, and in all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from milvus_coord.model.errors import CoordError, FencedOff
from milvus_coord.telemetry.log import log

K = TypeVar("K", bound=Hashable)
N = TypeVar("N", bound=Hashable)
R = TypeVar("R")


class ActionCancelled(CoordError):
    """The action was cut off; what it has done is unknown."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[K, N, R]):
    """The outcome of an action: its result, or the error that ended it."""

    id: K
    node: N
    result: R | None = None
    error: CoordError | None = None


class Executor(Generic[K, N, R]):
    """Actions are tasks of a group that a term owns. One task of the table has one at a time.

    What they lead to is kept until `outcomes` takes it, and `wake` is set, so that one loop owns
    the table: it takes the outcomes, moves tasks, asks what is due and starts that.

    Args:
        name: the first part of the tasks' names, `indexcoord.build`.
        per_node, in_all: the most actions at a time.
    """

    def __init__(self, tasks: asyncio.TaskGroup, *, name: str, per_node: int, in_all: int) -> None:
        self._tasks, self._name = tasks, name
        self._per_node, self._in_all = per_node, in_all
        self._running: dict[K, tuple[N, asyncio.Task[Outcome[K, N, R]]]] = {}
        self._by_node: Counter[N] = Counter()
        self._why_cut: dict[K, str] = {}
        self._ended: list[Outcome[K, N, R]] = []
        self.wake = asyncio.Event()

    def start(self, id_: K, node: N, action: Callable[[], Awaitable[R]]) -> bool:
        """Let `action` run for task `id_` on `node`.

        False, and `action` is not called, when one of this task runs already, when there is no
        room, or when the term is over. An `action` that raises FencedOff ends the term.
        """
        if id_ in self._running or not self.room(node):
            return False
        work = self._run(id_, node, action)
        try:
            task = self._tasks.create_task(work, name=f"{self._name} {id_}")
        except RuntimeError:  # the group is being left
            work.close()
            return False
        self._running[id_] = (node, task)
        self._by_node[node] += 1
        task.add_done_callback(lambda task: self._on_end(id_, node, task))
        return True

    def room(self, node: N) -> int:
        """How many more actions can be started on `node` now."""
        return min(self._per_node - self._by_node[node], self._in_all - len(self._running))

    def is_running(self, id_: K) -> bool:
        """Whether an action of this task has not ended yet."""
        return id_ in self._running

    def cancel(self, id_: K, why: str) -> None:
        """Cut off the action of a task, if one runs: its outcome is ActionCancelled with `why`."""
        if id_ in self._running and id_ not in self._why_cut:
            self._why_cut[id_] = why
            self._running[id_][1].cancel()

    def node_gone(self, node: N) -> None:
        """Cut off all that runs on a node whose session has ended."""
        for id_ in [id_ for id_, (where, _) in self._running.items() if where == node]:
            self.cancel(id_, f"node {node} is gone")

    def outcomes(self) -> list[Outcome[K, N, R]]:
        """The outcomes since the last call, in their order."""
        ended, self._ended = self._ended, []
        return ended

    def __len__(self) -> int:
        return len(self._running)

    async def _run(self, id_: K, node: N, action: Callable[[], Awaitable[R]]) -> Outcome[K, N, R]:
        try:
            return Outcome(id_, node, result=await action())
        except FencedOff:
            raise
        except CoordError as error:
            return Outcome(id_, node, error=error)
        except Exception as error:  # one broken object must not end the term, and the next
            log.error("an action broke", task=f"{self._name} {id_}", node=node, error=error)
            return Outcome(id_, node, error=CoordError(f"{type(error).__name__}: {error}"))

    def _on_end(self, id_: K, node: N, task: asyncio.Task[Outcome[K, N, R]]) -> None:
        del self._running[id_]
        self._by_node[node] -= 1
        if not self._by_node[node]:
            del self._by_node[node]
        why = self._why_cut.pop(id_, "the term is over")
        if task.cancelled():
            self._ended.append(Outcome(id_, node, error=ActionCancelled(why)))
        elif task.exception() is None:
            self._ended.append(task.result())
        self.wake.set()
