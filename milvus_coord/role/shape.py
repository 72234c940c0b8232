"""What a coordinator role is, to those who run it without knowing which one it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from milvus_coord.config import Settings
from milvus_coord.etcd.protocol import Etcd
from milvus_coord.ha.election.lifecycle import Lifecycle
from milvus_coord.ha.election.term import Term
from milvus_coord.ha.mirror.image import Mirrored
from milvus_coord.ha.mirror.mirror import Mirror
from milvus_coord.mq.settings import QueueSettings
from milvus_coord.role.requirements import Requirement
from milvus_coord.runtime.clock import Clock
from milvus_coord.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from milvus_coord.role.rpcs.contract import Contract
    from milvus_coord.role.term import RoleTerm
    from milvus_coord.rpc.server.dispatcher import Service


@dataclass(frozen=True, slots=True)
class RoleContext:
    """What every role is built from; all of it outlives each term.

    `address` is what clients dial, `host:port`. `queue` is never None for a role whose section
    says that it needs one.
    """

    settings: Settings
    address: str
    etcd: Etcd
    clock: Clock
    metrics: Metrics
    lifecycle: Lifecycle
    queue: QueueSettings | None


@dataclass(frozen=True, slots=True)
class Coordinator:
    """One role of a process: it mirrors etcd as long as the process lives, and leads term by term.

    Attributes:
        contract: its RPCs.
        mirror: what it keeps of etcd, standby or active.
        waiting: answer while a term begins: how we are, and not ready to all else.
        new_term: makes a term, to be run once.
    """

    contract: Contract
    mirror: Mirror[Any]
    waiting: Sequence[Service]
    new_term: Callable[[Term], RoleTerm]


@dataclass(frozen=True, slots=True)
class Shape:
    """`name` as in session keys ("rootcoord"), `title` as in log lines ("RootCoord").

    `build` loads the role's code, and `mirrored`, for a meta root, the part that reads metadata.
    `timestamp_bound` is, for a kv root, the key where the role that hands out timestamps keeps how
    far they may have gone. `stored` are the prefixes that the role reads and writes besides those
    that it mirrors. `requirements` are what it needs to lead besides what all roles need.
    """

    name: str
    title: str
    build: Callable[[RoleContext], Coordinator]
    mirrored: Callable[[str], Mirrored[Any]]
    timestamp_bound: Callable[[str], bytes] | None = None
    stored: Callable[[Settings], tuple[bytes, ...]] | None = None
    requirements: Callable[[RoleContext], Sequence[Requirement]] = lambda _: ()
