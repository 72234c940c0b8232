"""Tasks with states: which moves are legal, when to act, when a state has lasted too long.

Pure: the time is handed in (`Clock.boottime`), and nothing is awaited. Who owns a table asks it
what is due, lets an `Executor` act, and tells the table what came of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, TypeVar

from milvus_coord.model.errors import IllegalMove

K = TypeVar("K", bound=Hashable)
S = TypeVar("S", bound=Enum)
V = TypeVar("V")

STORY_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Moves(Generic[S]):
    """The states of one kind of task.

    Args:
        kind: what an error calls such a task: "index build".
        legal: to which states each state leads. One that leads nowhere is final. A state that
            leads to itself may be entered again: its deadline begins anew.
        deadline_s: the seconds that a task may stay in a state, for ever where it is not listed.
        tries_max: how often the action of a state may fail, None for ever.
        retry_first_s, retry_cap_s: seconds from a failure to the next try; doubled each time.
    """

    kind: str
    legal: Mapping[S, frozenset[S]]
    deadline_s: Mapping[S, float] = field(default_factory=dict)
    tries_max: int | None = None
    retry_first_s: float = 0.5
    retry_cap_s: float = 30.0

    def is_final(self, state: S) -> bool:
        """Whether nothing more happens to a task in this state."""
        return not self.legal[state]

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after the last of so many failures in a row."""
        return float(min(self.retry_cap_s, self.retry_first_s * 2.0 ** min(failures - 1, 60)))


@dataclass(frozen=True, slots=True)
class Chapter:
    """One event of a task's story and the state it led to; `at_s` is boot time."""

    at_s: float
    event: str
    state: str

    def __str__(self) -> str:
        return f"{self.at_s:.3f} {self.event} -> {self.state}"


class Task(Generic[K, S, V]):
    """One task of a table, for reading: the table changes it.

    `failures` counts those in this state. `due_s` is when to act next, None in a final state;
    `expires_s` is when the state has lasted too long, None for never. `value` is the owner's.
    """

    __slots__ = ("due_s", "expires_s", "failures", "id", "state", "story", "value")

    def __init__(self, id_: K, state: S, value: V) -> None:
        self.id, self.state, self.value = id_, state, value
        self.failures = 0
        self.due_s: float | None = None
        self.expires_s: float | None = None
        self.story: deque[Chapter] = deque(maxlen=STORY_MAX)

    def __repr__(self) -> str:
        return f"<Task {self.id} {self.state.name} failures={self.failures}>"


class TaskTable(Generic[K, S, V]):
    """The tasks of one kind, in the order in which they were added."""

    def __init__(self, moves: Moves[S]) -> None:
        self._moves = moves
        self._tasks: dict[K, Task[K, S, V]] = {}

    def add(self, id_: K, state: S, value: V, *, now_s: float, event: str = "added") -> None:
        """A new task, due at once. Raises ValueError when the id is taken."""
        if id_ in self._tasks:
            raise ValueError(f"{self._moves.kind} {id_} is there already: {self._tasks[id_]!r}")
        task = self._tasks[id_] = Task(id_, state, value)
        self._enter(task, state, now_s, event)

    def move(self, id_: K, to: S, *, now_s: float, event: str) -> None:
        """The task is in another state now, and due at once. Raises IllegalMove, KeyError."""
        task = self._tasks[id_]
        if to not in self._moves.legal[task.state]:
            raise IllegalMove(
                f"{self._moves.kind} {id_}",
                task.state.name,
                to.name,
                event=event,
                story=task.story,
            )
        self._enter(task, to, now_s, event)

    def wait(self, id_: K, seconds: float, *, now_s: float) -> None:
        """Nothing is wrong, but look at it again in so many seconds only. Raises KeyError."""
        task = self._tasks[id_]
        if task.due_s is not None:
            task.due_s = now_s + seconds

    def failed(self, id_: K, *, now_s: float, event: str) -> bool:
        """The action of the task's state failed: it is due again after a pause.

        False when it has failed as often as it may: it is not due any more, and its owner moves it
        on. Raises KeyError.
        """
        task = self._tasks[id_]
        if task.due_s is None:
            return False
        task.failures += 1
        task.story.append(Chapter(now_s, event, task.state.name))
        if self._moves.tries_max is not None and task.failures >= self._moves.tries_max:
            task.due_s = None
            return False
        task.due_s = now_s + self._moves.pause_s(task.failures)
        return True

    def remove(self, id_: K) -> V | None:
        """Forget a task; its value, None when there was none."""
        task = self._tasks.pop(id_, None)
        return task.value if task else None

    def due(self, now_s: float) -> list[Task[K, S, V]]:
        """Those to act on now. One whose action is under way stays among them."""
        return [t for t in self._tasks.values() if t.due_s is not None and t.due_s <= now_s]

    def expired(self, now_s: float) -> list[Task[K, S, V]]:
        """Those that have been in their state for too long, until they are moved or removed."""
        return [t for t in self._tasks.values() if t.expires_s is not None and t.expires_s <= now_s]

    def get(self, id_: K) -> Task[K, S, V] | None:
        """The task of that id, None when there is none."""
        return self._tasks.get(id_)

    def __getitem__(self, id_: K) -> Task[K, S, V]:
        return self._tasks[id_]

    def __contains__(self, id_: object) -> bool:
        return id_ in self._tasks

    def __iter__(self) -> Iterator[Task[K, S, V]]:
        """All as of now; the table may change meanwhile."""
        return iter(list(self._tasks.values()))

    def __len__(self) -> int:
        return len(self._tasks)

    def _enter(self, task: Task[K, S, V], state: S, now_s: float, event: str) -> None:
        limit_s = self._moves.deadline_s.get(state)
        task.state, task.failures = state, 0
        task.due_s = None if self._moves.is_final(state) else now_s
        task.expires_s = None if limit_s is None else now_s + limit_s
        task.story.append(Chapter(now_s, event, state.name))
