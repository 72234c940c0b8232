"""What a coordinator role is, to those who run it without knowing which one it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from milvus_coord.config import Settings
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.lifecycle import Lifecycle
from milvus_coord.ha.term import Term
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from milvus_coord.rpc.edge import Service
    from milvus_coord.wire.codec import WireCodec


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every role is built from; all of it outlives each term."""

    settings: Settings
    etcd: Etcd
    clock: Clock
    metrics: Metrics
    lifecycle: Lifecycle


class Coordinator(Protocol):
    """One role. What only an active may hold is made in `services` and `recover`, term by term."""

    def rehearse(self, codec: WireCodec) -> None:
        """Take every message of the services through `codec` once; called in a thread."""

    def services(self, term: Term) -> Sequence[Service]:
        """The gRPC services of this term; they answer from the moment the port listens."""

    async def recover(self, term: Term, tasks: asyncio.TaskGroup) -> None:
        """Read what is stored, repair what was half done, start the loops in `tasks`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`name` as in session keys ("rootcoord"), `title` as in log lines ("RootCoord").

    `build` loads the role's code.
    """

    name: str
    title: str
    build: Callable[[Surroundings], Coordinator]
