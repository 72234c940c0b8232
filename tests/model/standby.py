"""What a standby does: make a session, claim the active key, challenge its holder."""

from __future__ import annotations

from collections.abc import Iterator

from milvus_coord.ha.election.decisions import ClaimActiveKey, DetectFailure
from milvus_coord.ha.pair.leadership_record import TermState
from milvus_coord.ha.pair.takeover import Cause
from tests.model.etcd import holds, spent, without_lease
from tests.model.rules import Bounds, Rules
from tests.model.send import send
from tests.model.world import Node, Phase, Question, Request, World, node_of


def joins(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Its lease is gone in etcd: it takes a new one."""
    node, etcd = world.nodes[i], world.etcd
    if node.lease in etcd.leases or etcd.nospace:
        return
    lease = node.lease + 1
    etcd = etcd._replace(leases=etcd.leases | {lease})
    yield world._replace(etcd=etcd).with_node(i, Node(Phase.STANDBY, node.process, lease))


def claims(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Claims what may be claimed at once, or of a holder whose process is proven dead."""
    node, active = world.nodes[i], world.etcd.active
    if not _free(world, i) or not world.left.wins:
        return
    decision = rules.code.decision(active, i, node.lease)
    if isinstance(decision, DetectFailure):
        assert active is not None
        if active.holder > 0 and not is_alive(world, active.holder):
            yield from send(
                world, _claim(node, i, rules.code.replacement_of_dead(active, i)), rules, bounds
            )
    elif isinstance(decision, ClaimActiveKey):
        given = decision.cause is Cause.REGAINED and world.etcd.record is TermState.RELEASED
        if given and not rules.heir_claims:
            assert active is not None
            after = node._replace(
                phase=Phase.ACTIVATING, epoch=active.mod, serve=bounds.serve_ticks
            )
            yield world.with_node(i, after)
        else:
            yield from send(world, _claim(node, i, decision), rules, bounds)


def challenges(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Suspects the holder of the active key, for good reason or not, and asks it through etcd."""
    node, active = world.nodes[i], world.etcd.active
    if not _free(world, i) or node.question or not world.left.challenges or world.etcd.nospace:
        return
    if active is None or not rules.code.may_ask(active, node.lease):
        return
    question = Question(active, world.etcd.answered[i] + 1)
    left = spent(world.left, "challenges")
    yield world._replace(left=left).with_node(i, node._replace(question=question))


def hears(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """The challenge was answered: it leaves the active alone."""
    node = world.nodes[i]
    asked = node.question
    if asked is not None and rules.code.is_answered(asked, world.etcd.answered[i]):
        yield world.with_node(i, node._replace(question=None))


def replaces(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Has waited long enough for the answer, and replaces the holder of the active key."""
    node, asked = world.nodes[i], world.nodes[i].question
    if asked is None or not _free(world, i) or not world.left.wins:
        return
    if rules.replace_in_one_step:
        claim = rules.code.replacement(asked, i)
        if claim is not None:
            yield from send(world, _claim(node, i, claim, asked.nonce), rules, bounds)
        return
    active, old = world.etcd.active, asked.active.lease
    after = world._replace(etcd=without_lease(world.etcd, old))
    after = after.with_node(i, node._replace(question=None))
    if world.etcd.nospace and active is not None and active.lease == old:
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
    node, etcd = world.nodes[i], world.etcd
    if not node.gave or etcd.nospace:
        return
    if all(holds(etcd, compare) for compare in rules.code.take_back(node.gave)):
        after = world.with_node(i, node._replace(gave=0))
        yield after._replace(etcd=etcd._replace(active=None))


def is_alive(world: World, process: int) -> bool:
    """Whether this very process still runs."""
    node = world.nodes[node_of(process)]
    return node.process == process and node.phase is not Phase.DOWN


def _claim(node: Node, i: int, claim: ClaimActiveKey, unanswered: int = 0) -> Request:
    kind = f"claim: {claim.cause.value}"
    return Request(kind, i, claim.conditions, node.lease, node.process, claim, to=unanswered)


def _free(world: World, i: int) -> bool:
    """Whether its session lives, and it waits for nothing."""
    node = world.nodes[i]
    return node.answer is None and not node.gave and node.lease in world.etcd.leases
