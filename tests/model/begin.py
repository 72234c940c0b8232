"""The worlds in which a search begins."""

from __future__ import annotations

from milvus_coord.ha.pair.leadership_record import TermState
from tests.model.rules import Bounds
from tests.model.world import Done, Etcd, Key, Left, Node, Phase, World


def beginning(bounds: Bounds) -> World:
    """A leads and serves, the others stand by."""
    standbys = tuple(Node(Phase.STANDBY, i * 10, i * 10) for i in range(2, bounds.nodes + 1))
    leader = Node(Phase.ACTIVE, 10, 10, epoch=1, serve=bounds.serve_ticks, recovered=True, limit=1)
    leases = frozenset(node.lease for node in (leader, *standbys))
    etcd = Etcd(Key(10, 1, 10), 1, leases, TermState.CLEAR, 1, 0, (0,) * bounds.nodes, False, False)
    left = Left(*(getattr(bounds, field) for field in Left._fields))
    return World(etcd, (leader, *standbys), frozenset(), left, Done(1, 0, -1, 0, 0, ""))


def nobody_yet(bounds: Bounds) -> World:
    """All stand by, and nobody has ever led."""
    world = beginning(bounds)
    etcd = world.etcd._replace(active=None, revision=0, record=None, bound=0)
    first = Node(Phase.STANDBY, 10, 10)
    return world._replace(etcd=etcd, done=world.done._replace(won=0)).with_node(0, first)
