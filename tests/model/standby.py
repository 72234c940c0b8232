"""What a standby does: make a session, claim the active key, challenge its holder."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.etcd import spent, without_lease
from tests.model.rules import Bounds, Rules
from tests.model.send import send
from tests.model.world import GO, Node, Phase, Question, Record, Request, World, node_of


def joins(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Its lease is gone in etcd: it takes a new one."""
    node, etcd = world.nodes[i], world.etcd
    if node.lease in etcd.leases or etcd.nospace:
        return
    lease = node.lease + 1
    etcd = etcd._replace(leases=etcd.leases | {lease})
    yield world._replace(etcd=etcd).with_node(i, Node(Phase.STANDBY, node.process, lease))


def claims(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """The one transaction that wins the active key, under the comparison that fits its value."""
    node, etcd = world.nodes[i], world.etcd
    if not _free(world, i) or not world.left.wins:
        return
    claim = claim_of(world, i)
    if claim is None or claim.kind in rules.never:
        return
    if claim.kind == "claim own key" and not rules.heir_claims and etcd.record is Record.RELEASED:
        yield world.with_node(
            i,
            node._replace(phase=Phase.ACTIVATING, epoch=claim.mod, serve=bounds.serve_ticks),
        )
        return
    yield from send(world, claim, rules, bounds)


def claim_of(world: World, i: int) -> Request | None:
    """The claim that fits what the active key is now; None while it is somebody's."""
    node, etcd = world.nodes[i], world.etcd
    k, me = etcd.active, node.process
    if k is None:
        return Request("claim absent key", i, node.lease, old=int(etcd.last_go), process=me)
    if k.lease == node.lease:
        return Request("claim own key", i, node.lease, mod=k.mod, process=me)
    if k.lease == 0:
        return Request("claim junk", i, node.lease, mod=k.mod, process=me)
    if k.holder > 0 and not is_alive(world, k.holder):
        return Request("bury", i, node.lease, mod=k.mod, old=k.lease, process=me)
    return None


def challenges(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Suspects the holder of the active key, for good reason or not, and asks it through etcd."""
    node, k = world.nodes[i], world.etcd.active
    if not _free(world, i) or node.question or not world.left.challenges or world.etcd.nospace:
        return
    if k is None or k.lease in (0, node.lease) or k.holder == GO:
        return
    question = Question(k.lease, k.mod, world.etcd.answered[i] + 1)
    left = spent(world.left, "challenges")
    yield world._replace(left=left).with_node(i, node._replace(question=question))


def hears(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """The challenge was answered: it leaves the active alone."""
    node = world.nodes[i]
    asked = node.question
    if asked is not None and world.etcd.answered[i] >= asked.nonce:
        yield world.with_node(i, node._replace(question=None))


def replaces(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Has waited long enough for the answer, and replaces the holder of the active key."""
    node, asked = world.nodes[i], world.nodes[i].question
    if asked is None or not _free(world, i) or not world.left.wins:
        return
    if rules.replace_in_one_step:
        replace = Request(
            "replace", i, node.lease, asked.mod, asked.lease, asked.nonce, node.process
        )
        yield from send(world, replace, rules, bounds)
        return
    k = world.etcd.active
    after = world._replace(etcd=without_lease(world.etcd, asked.lease))
    after = after.with_node(i, node._replace(question=None))
    if world.etcd.nospace and k is not None and k.lease == asked.lease:
        after = after.broken("the active key was taken away while etcd takes nothing in its place")
    yield after


def wins(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """The answer to its claim arrives: a term begins."""
    node, answer = world.nodes[i], world.nodes[i].answer
    if answer is not None:
        yield world.with_node(
            i,
            Node(
                Phase.ACTIVATING,
                node.process,
                node.lease,
                epoch=answer.epoch,
                serve=answer.left,
                wait=answer.wait,
            ),
        )


def hears_nothing(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """It has won, and does not know."""
    node = world.nodes[i]
    if node.answer is not None and world.left.late:
        left = spent(world.left, "late")
        yield world._replace(left=left).with_node(i, node._replace(answer=None))


def takes_back(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """The heir does not react: deletes the active key, if nobody wrote it since it was given."""
    node, k = world.nodes[i], world.etcd.active
    if k is not None and k.mod == node.gave and not world.etcd.nospace:
        after = world.with_node(i, node._replace(gave=0))
        yield after._replace(etcd=world.etcd._replace(active=None))


def is_alive(world: World, process: int) -> bool:
    """Whether this very process still runs."""
    node = world.nodes[node_of(process)]
    return node.process == process and node.phase is not Phase.DOWN


def _free(world: World, i: int) -> bool:
    """Whether its session lives, and it waits for nothing."""
    node = world.nodes[i]
    return node.answer is None and not node.gave and node.lease in world.etcd.leases
