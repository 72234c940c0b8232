"""What goes wrong, and what people do by hand."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.etcd import spent, without_lease
from tests.model.rules import Bounds, Rules
from tests.model.world import GO, GO_LEASE, HAND, Key, Node, Phase, Read, World


def crashes(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Is killed: its memory is gone, what it has sent is not."""
    node = world.nodes[i]
    if world.left.crashes:
        world = world._replace(left=spent(world.left, "crashes"))
        yield world.with_node(i, Node(Phase.DOWN, node.process, node.lease))


def starts_again(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """A new process with a new session."""
    node, etcd = world.nodes[i], world.etcd
    if not etcd.nospace:
        after = Node(Phase.STANDBY, node.process + 1, node.lease + 1)
        etcd = etcd._replace(leases=etcd.leases | {after.lease})
        yield world._replace(etcd=etcd).with_node(i, after)


def old_lease_ends(world: World, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """The lease of a process that is no more ends."""
    used = {node.lease for node in world.nodes if node.phase is not Phase.DOWN}
    for lease in world.etcd.leases - used:
        yield world._replace(etcd=without_lease(world.etcd, lease))


def loses_its_lease(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Its lease ends while it lives: cut off for too long, or revoked by hand."""
    lease = world.nodes[i].lease
    if lease in world.etcd.leases and world.left.leases_lost:
        left = spent(world.left, "leases_lost")
        yield world._replace(left=left, etcd=without_lease(world.etcd, lease))


def active_key_is_deleted(world: World, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """A person deletes the active key."""
    if world.etcd.active is not None and world.left.deleted_by_hand and not world.etcd.nospace:
        left = spent(world.left, "deleted_by_hand")
        yield world._replace(left=left, etcd=world.etcd._replace(active=None))


def active_key_becomes_junk(world: World, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """A person puts junk over the active key, on no lease."""
    etcd = world.etcd
    active = etcd.active
    if active and active.holder != HAND and world.left.junk and not etcd.nospace:
        junk = Key(0, etcd.revision + 1, HAND, active.of_go)
        etcd = etcd._replace(active=junk, revision=junk.mod)
        yield world._replace(left=spent(world.left, "junk"), etcd=etcd)


def etcd_is_full(world: World, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """The NOSPACE alarm: no transaction and no new lease; reads and revocations go on."""
    if not world.etcd.nospace and world.left.nospace:
        left = spent(world.left, "nospace")
        yield world._replace(left=left, etcd=world.etcd._replace(nospace=True))


def etcd_has_room(world: World, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """A person disarms the alarm."""
    if world.etcd.nospace:
        yield world._replace(etcd=world.etcd._replace(nospace=False))


def go_wins(world: World, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """A Go coordinator finds the active key absent and takes it; it tells nothing to ours."""
    etcd = world.etcd
    if etcd.active is None and world.left.go_wins and not etcd.nospace:
        active = Key(GO_LEASE, etcd.revision + 1, GO, of_go=True)
        etcd = etcd._replace(
            active=active, revision=active.mod, leases=etcd.leases | {GO_LEASE}, last_go=True
        )
        yield world._replace(left=spent(world.left, "go_wins"), etcd=etcd)


def time_passes(world: World, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """A tick, for all clocks alike; they count suspended time too."""
    nodes = tuple(map(_older, world.nodes))
    if nodes != world.nodes:
        yield world._replace(nodes=nodes)


def _older(node: Node) -> Node:
    answer, read = node.answer, node.read
    if not (node.serve or node.wait or answer or read):
        return node
    return node._replace(
        serve=_less(node.serve),
        wait=_less(node.wait),
        answer=answer._replace(left=_less(answer.left)) if answer else None,
        read=Read(_less(read.left)) if read else None,
    )


def _less(ticks: int) -> int:
    return ticks - 1 if ticks else 0
