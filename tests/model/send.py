"""What becomes of a transaction: it is served and answered at once, or late and in vain.

These two are all there is: one that takes its time and is answered then is as good as one that is
sent later, and one whose answer is lost is a late one that was not very late.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.etcd import applied, hopeless, refused, spent
from tests.model.rules import Bounds, Rules
from tests.model.world import Answer, Node, Phase, Request, World


def send(world: World, request: Request, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Both that may become of `request`; its sender goes on accordingly."""
    i, node = request.by, world.nodes[request.by]
    if refused(world.etcd, request):
        yield world.with_node(i, _after_refusal(world, node, request, rules))
    else:
        yield _served(world, request, rules, bounds)
    if world.left.late and not hopeless(world.etcd, request):
        after = world._replace(late=world.late | {request}, left=spent(world.left, "late"))
        yield after.with_node(i, _without_answer(node, request, rules))


def _served(world: World, request: Request, rules: Rules, bounds: Bounds) -> World:
    i, node = request.by, world.nodes[request.by]
    after = applied(world, request, bounds)
    etcd = after.etcd
    if request.claim is not None:
        before, ticks = world.etcd, bounds.serve_ticks
        wait = rules.code.wait_ticks(request.claim, before.record, before.last_go, ticks)
        answer = Answer(after.done.won, bounds.serve_ticks, wait)
        return after.with_node(i, node._replace(answer=answer, question=None))
    if request.kind == "write":
        return after._replace(done=after.done._replace(acknowledged=etcd.writes))
    if request.kind == "recover":
        seen = etcd.writes if rules.catch_up else 0
        node = node._replace(recovered=True, seen=seen, limit=request.to)
    elif request.kind == "save":
        node = node._replace(limit=request.to)
    elif request.kind == "give":
        node = back_to_standby(node)._replace(gave=etcd.revision)
    elif request.kind == "release":
        node = back_to_standby(node)
    return after.with_node(i, node)


def _after_refusal(world: World, node: Node, request: Request, rules: Rules) -> Node:
    """A claim is thought over; a broken fence ends the term; anything else is tried again."""
    if request.claim is not None:
        return node._replace(question=None)
    if request.kind == "release" or not rules.code.is_ours(world.etcd.active, request.epoch):
        return back_to_standby(node)
    if request.kind == "give":
        return node._replace(in_order=False)
    return node


def _without_answer(node: Node, request: Request, rules: Rules) -> Node:
    if request.kind == "release":
        return back_to_standby(node)
    if request.kind == "save" and not rules.save_ahead:
        return node._replace(limit=request.to)
    if request.claim is not None:
        return node._replace(question=None)
    return node


def arrives_late(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """A transaction that its sender no longer waits for reaches etcd."""
    for request in world.late:
        if request.by == i and not refused(world.etcd, request):
            yield applied(world._replace(late=world.late - {request}), request, bounds)


def back_to_standby(node: Node) -> Node:
    """The same process and session, and nothing else."""
    return Node(Phase.STANDBY, node.process, node.lease)
