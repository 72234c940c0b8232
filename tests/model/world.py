"""The state of the model: etcd, the processes, what is on its way between them, and what was done.

All are named tuples: millions of them are made, hashed and compared.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from milvus_coord.etcd.txn import Compare
from milvus_coord.ha.election.decisions import ClaimActiveKey
from milvus_coord.ha.pair.leadership_record import TermState

HAND, GO = -1, -2
"""As holder of the active key: a value put there by hand, and a Go coordinator."""
GO_LEASE = 99


class Phase(IntEnum):
    """`STANDBY -> ACTIVATING -> ACTIVE -> LEAVING -> STANDBY`; LEAVING does nothing unfenced."""

    DOWN = 0
    STANDBY = 1
    ACTIVATING = 2
    ACTIVE = 3
    LEAVING = 4


class Key(NamedTuple):
    """The active key: on which lease, written at which revision, whose process it names.

    `of_go`: a Go coordinator created it, and none of ours has claimed it since.
    """

    lease: int
    mod: int
    holder: int
    of_go: bool = False


class Request(NamedTuple):
    """A transaction on its way to etcd.

    Attributes:
        when: what etcd compares.
        lease: that the active key is put on, 0 when it is not put; `process` is whom it names.
        claim: what was decided, for a claim.
        epoch: of the term whose guarded write it is.
        record: what it writes into the leadership key.
        to: the bound that is stored, or the number of the challenge that was not answered.
    """

    kind: str
    by: int
    when: tuple[Compare, ...]
    lease: int = 0
    process: int = 0
    claim: ClaimActiveKey | None = None
    epoch: int = 0
    record: TermState | None = None
    to: int = 0


class Answer(NamedTuple):
    """The answer to a claim that won, on its way back."""

    epoch: int
    left: int
    wait: int


class Question(NamedTuple):
    """A challenge to the holder of the active key as it was then."""

    active: Key
    nonce: int


class Read(NamedTuple):
    """The answer to a read of the active key that proves leadership, on its way back."""

    left: int


class Node(NamedTuple):
    """One place of the pair, and the process that runs there, if any.

    Attributes:
        process: counts up from restart to restart; unique in the world.
        lease: of its session, 0 when it must make one.
        serve: how much is left of its serve lease, in ticks.
        wait: how long the leader before it may still be serving, in ticks.
        in_order: whether it leaves after all its work has ended.
        may_act: it has looked at its serve lease and acts later (a mutation).
        recovered: its guarded recovery is done; `seen` metadata writes are in its mirror.
        limit: it may hand out timestamps below this.
        gave: the revision at which it put the active key under an heir's lease.
    """

    phase: Phase
    process: int
    lease: int
    epoch: int = 0
    serve: int = 0
    wait: int = 0
    in_order: bool = False
    may_act: bool = False
    recovered: bool = False
    seen: int = 0
    limit: int = 0
    gave: int = 0
    answer: Answer | None = None
    read: Read | None = None
    question: Question | None = None


class Etcd(NamedTuple):
    """What it holds, and what it was.

    Attributes:
        revision: of the last change of the active key.
        record: the state in the leadership key, None while there is none.
        answered: the last challenge of each node that was answered.
        last_go: whether the last holder of the active key was Go.
    """

    active: Key | None
    revision: int
    leases: frozenset[int]
    record: TermState | None
    bound: int
    writes: int
    answered: tuple[int, ...]
    nospace: bool
    last_go: bool


class Left(NamedTuple):
    """How often each fault may still happen in this trace."""

    wins: int
    late: int
    crashes: int
    leases_lost: int
    deleted_by_hand: int
    junk: int
    challenges: int
    stops: int
    failures: int
    writes: int
    saves: int
    nospace: int
    go_wins: int


class Done(NamedTuple):
    """What has happened and cannot be undone.

    Attributes:
        won: newest epoch that was won.
        acted: newest epoch that did something unfenced.
        granted, granted_in: the highest timestamp handed out, and in which epoch.
        acknowledged: how many metadata writes etcd had when the last one was acknowledged.
        broken: which promise is broken, "" while none is.
    """

    won: int
    acted: int
    granted: int
    granted_in: int
    acknowledged: int
    broken: str


class World(NamedTuple):
    """Everything. `late` are requests whose senders wait no longer."""

    etcd: Etcd
    nodes: tuple[Node, ...]
    late: frozenset[Request]
    left: Left
    done: Done

    def with_node(self, i: int, node: Node) -> World:
        nodes = (*self.nodes[:i], node, *self.nodes[i + 1 :])
        return World(self.etcd, nodes, self.late, self.left, self.done)

    def broken(self, promise: str) -> World:
        return self._replace(done=self.done._replace(broken=promise))


def name(i: int) -> str:
    """A, B, C."""
    return "ABC"[i]


def node_of(process: int) -> int:
    """Where a process ran."""
    return process // 10 - 1
