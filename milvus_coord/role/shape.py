"""What a coordinator role is, to those who run it without knowing which one it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from milvus_coord.config import Settings
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.mirror import Image, Mirror
from milvus_coord.mq.settings import QueueSettings
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from milvus_coord.role.rpcs.contract import Contract
    from milvus_coord.rpc.server.dispatcher import Service


@dataclass(frozen=True, slots=True)
class RoleContext:
    """What every role is built from; all of it outlives each term.

    `address` is what clients dial, `host:port`.
    """

    settings: Settings
    address: str
    etcd: Etcd
    clock: Clock
    metrics: Metrics
    lifecycle: Lifecycle
    queue: QueueSettings


class Coordinator(Protocol):
    """One role. It follows etcd as long as the process lives, and leads term by term.

    A term is `waiting` and `work`; what only an active may hold is made in these.
    """

    @property
    def ready(self) -> bool:
        """Whether a term could begin at once: all that is mirrored is there."""

    @property
    def mirror(self) -> Mirror[Any]:
        """What it keeps of etcd, standby or active: to ask how far it is, and what it holds."""

    async def follow(self) -> None:
        """Keep the role's mirror of etcd, standby or active; never returns."""

    @property
    def contract(self) -> Contract:
        """All RPCs of the role."""

    def waiting(self) -> Sequence[Service]:
        """The gRPC services that answer while a term begins: how we are, not ready to all else."""

    async def work(self, term: Term, serve: Callable[[Sequence[Service]], None]) -> None:
        """Recover, lead until cancelled; call `serve` once, when requests can be answered.

        Catch up with etcd, write what is missing, and wait for `term.predecessor_stopped_at`:
        nothing that etcd cannot fence is done before. All of it has ended when this has.
        """

    async def finish(self) -> None:
        """Let what is on its way end, and begin nothing more by itself; before a hand-over."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What the mirror of a role is made of: all keys below `prefix`, in a `new_image()`."""

    prefix: bytes
    new_image: Callable[[], Image]


@dataclass(frozen=True, slots=True)
class Shape:
    """`name` as in session keys ("rootcoord"), `title` as in log lines ("RootCoord").

    `build` loads the role's code, and `mirrored`, for a meta root, the part that reads metadata.
    """

    name: str
    title: str
    build: Callable[[RoleContext], Coordinator]
    mirrored: Callable[[str], Mirrored]
