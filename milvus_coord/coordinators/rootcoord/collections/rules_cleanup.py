"""The steps that delete a collection or partition, or roll a creation back, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from milvus_coord.model.collection import Collection, CollectionState


class Step(Enum):
    """One thing to do, repeated until it succeeds. Each may be done more than once."""

    SETTLE = "etcd says what became of the statement that failed"
    RELEASE = "querycoord unloads the collection"
    DROP_INDEX = "indexcoord forgets the indexes"
    ANNOUNCE = "readers of the channels get a drop message"
    RELEASE_CHANNELS = "when ticks have passed that message, the channels count one less"
    AWAIT_GC = "datacoord has no segment any more"
    WRITE_TOMBSTONES = "etcd has tombstones for all that there is"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their order, and what the log says when they are done."""

    steps: tuple[Step, ...]
    done: str = ""


DROP_COLLECTION: Final = Plan(
    (
        Step.RELEASE,
        Step.DROP_INDEX,
        Step.ANNOUNCE,
        Step.RELEASE_CHANNELS,
        Step.AWAIT_GC,
        Step.WRITE_TOMBSTONES,
    ),
    "dropped collection is gone",
)

ROLL_BACK_CREATE: Final = Plan(
    (Step.ANNOUNCE, Step.RELEASE_CHANNELS, Step.WRITE_TOMBSTONES), "collection rolled back"
)
"""Data nodes may read the channels already: a drop message without a name stops them."""

DROP_PARTITION: Final = Plan(
    (Step.DROP_INDEX, Step.ANNOUNCE, Step.AWAIT_GC, Step.WRITE_TOMBSTONES),
    "dropped partition is gone",
)

SETTLE_COLLECTION: Final = Plan((Step.SETTLE,))
"""What follows is read off the state then, by `plan_for`."""

SETTLE_PARTITION: Final = Plan((Step.SETTLE, *DROP_PARTITION.steps), DROP_PARTITION.done)

NEVER_STORED: Final = Plan((Step.RELEASE_CHANNELS,))
WHOLE: Final = Plan((), "collection is whole after all")


WHOM: Final[Mapping[Step, str]] = {
    Step.SETTLE: "etcd",
    Step.RELEASE: "querycoord",
    Step.DROP_INDEX: "indexcoord",
    Step.ANNOUNCE: "queue",
    Step.RELEASE_CHANNELS: "ticks",
    Step.AWAIT_GC: "datacoord",
    Step.WRITE_TOMBSTONES: "etcd",
}
"""Who is asked: where one is away, only what needs it waits."""

PURPOSE: Final[Mapping[Step, str]] = {
    Step.SETTLE: "learn the state of",
    Step.RELEASE: "release",
    Step.DROP_INDEX: "drop the index of",
    Step.ANNOUNCE: "announce the drop of",
    Step.RELEASE_CHANNELS: "release the channels of",
    Step.AWAIT_GC: "wait for the garbage of",
    Step.WRITE_TOMBSTONES: "delete",
}
"""What could not be done, for log lines."""


def plan_for(found: Collection | None) -> Plan:
    """Choose the plan after a failed statement, by the stored record of its collection."""
    if found is None:
        return NEVER_STORED
    match found.state:
        case CollectionState.CREATING:
            return ROLL_BACK_CREATE
        case CollectionState.DROPPING:
            return DROP_COLLECTION
        case _:
            return WHOLE
