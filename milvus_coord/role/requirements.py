"""What a role needs besides etcd and its port to lead well, looked at while it stands by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from milvus_coord.runtime.loop import Loop
from milvus_coord.telemetry.log import log

LOOK_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Requirement:
    """`name` is for people ("the message queue"); `look` says what is wrong, "" when nothing is."""

    name: str
    look: Callable[[], Awaitable[str]]


class Requirements:
    """Whether all of them are met, as of the last look.

    What is not met keeps nobody from leading: a standby that lacks something is given no key by a
    switchover or a hand-over, but it takes over when there is no better one.

    Args:
        required: of all roles, and of this one.
        show: is told at each look, by name, what is met.
    """

    def __init__(
        self,
        required: Sequence[Requirement],
        show: Callable[[str, bool], None] = lambda _, __: None,
    ) -> None:
        self._required, self._show = tuple(required), show
        self._unmet: dict[str, str] = {}

    @property
    def unmet(self) -> tuple[str, ...]:
        """A sentence each, in the order of the requirements."""
        return tuple(
            f"{one.name}: {self._unmet[one.name]}"
            for one in self._required
            if one.name in self._unmet
        )

    def loop(self) -> Loop:
        """Look at all of them every two seconds."""
        return Loop("role.requirements", LOOK_EVERY_S, self.turn)

    async def turn(self) -> None:
        for one in self._required:
            why, known = await one.look(), self._unmet.get(one.name, "")
            self._show(one.name, not why)
            if why:
                self._unmet[one.name] = why
                if not known:
                    log.warn("what this role needs to lead is not there", needs=one.name, why=why)
            elif known:
                del self._unmet[one.name]
                log.info("what this role needs to lead is there again", needs=one.name)
