"""What a process says about itself to probes and operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Component:
    """One role of the process.

    Codes are Milvus': 0 Initializing, 1 Healthy, 2 Abnormal, 3 StandBy, 4 Stopping; `state` is the
    word for it.
    """

    name: str
    code: int
    state: str


@dataclass(frozen=True, slots=True)
class Check:
    """One named condition; `detail` says why it does not hold."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RoleView:
    """Where the process stands in its pair; `body` is what an operator wants to know beside it."""

    position: Literal["active", "standby", "neither"]
    body: Mapping[str, object]


class ProcessStatus(Protocol):
    """Asked at each request, on the event loop: answers from memory, at once."""

    def components(self) -> Sequence[Component]:
        """The roles of this process."""

    def liveness(self) -> Sequence[Check]:
        """What must hold or the process had better be restarted."""

    def readiness(self) -> Sequence[Check]:
        """What must hold for the process to do its part, as active or as standby."""

    def role(self) -> RoleView:
        """Its place in the pair."""


@dataclass(frozen=True, slots=True)
class MirrorAnswer:
    """What a process holds of its role's metadata.

    `facts` are role and those of `ha.mirror.dump.Digest`, `lines` the records that `digest` is of,
    when they were asked for. Not `complete`: the metadata is being read, `facts` are role and
    error.
    """

    facts: Mapping[str, object]
    lines: bytes = b""
    complete: bool = True


class MirrorStatus(Protocol):
    """Asked at each request; takes its time, and leaves the event loop to others meanwhile."""

    async def digest(self, *, fresh: bool) -> MirrorAnswer:
        """What all of it comes to, now or, unless it is to be `fresh`, a while ago."""

    async def dump(self) -> MirrorAnswer:
        """All of it."""
