"""What a coordinator process is right now, and how that looks on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Final

from milvus_coord.model.errors import IllegalMove


class StateCode(IntEnum):
    """`milvus.proto.common.StateCode`."""

    Initializing = 0
    Healthy = 1
    Abnormal = 2
    StandBy = 3
    Stopping = 4


class Phase(Enum):
    """The life of a process.

    STARTING -> STANDBY -> ACTIVATING -> ACTIVE -> STEPPING_DOWN -> STANDBY ... -> STOPPING
    """

    STARTING = "starting"
    STANDBY = "standby"
    ACTIVATING = "activating"
    ACTIVE = "active"
    STEPPING_DOWN = "stepping_down"
    STOPPING = "stopping"

    @property
    def state_code(self) -> StateCode:
        """The code that GetComponentStates and /healthz show for it (Go 2.2.16's vocabulary)."""
        return _STATE_CODES[self]


_STATE_CODES: Final[Mapping[Phase, StateCode]] = {
    Phase.STARTING: StateCode.Abnormal,
    Phase.STANDBY: StateCode.StandBy,
    Phase.ACTIVATING: StateCode.Initializing,
    Phase.ACTIVE: StateCode.Healthy,
    Phase.STEPPING_DOWN: StateCode.StandBy,
    Phase.STOPPING: StateCode.Abnormal,
}

MOVES: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.STARTING: frozenset({Phase.STANDBY, Phase.STOPPING}),
    Phase.STANDBY: frozenset({Phase.ACTIVATING, Phase.STOPPING}),
    Phase.ACTIVATING: frozenset({Phase.ACTIVE, Phase.STEPPING_DOWN}),
    Phase.ACTIVE: frozenset({Phase.STEPPING_DOWN}),
    Phase.STEPPING_DOWN: frozenset({Phase.STANDBY, Phase.STOPPING}),
    Phase.STOPPING: frozenset(),
}


def move(current: Phase, to: Phase) -> Phase:
    """Return `to`, or raise IllegalMove when the table does not have that move."""
    if to not in MOVES[current]:
        raise IllegalMove("the process", current.value, to.value)
    return to
