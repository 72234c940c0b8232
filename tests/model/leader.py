"""What a leader does: recover, wait, serve, write under its fence, hand over."""

from __future__ import annotations

from collections.abc import Iterator

from milvus_coord.etcd.txn import Compare, value_is
from milvus_coord.ha.pair.leadership_record import TermState
from tests.model.etcd import BOUND, refused, spent
from tests.model.rules import Bounds, Rules
from tests.model.send import back_to_standby, send
from tests.model.world import Node, Phase, Read, Request, World, name


def recovers(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Reads the stored bound; stores one above it, and the mark, under its fence."""
    node, etcd = world.nodes[i], world.etcd
    if not node.recovered:
        read = _bound_as_read(etcd.bound, rules)
        recover = guarded(rules, node, i, "recover", read)._replace(to=etcd.bound + 1)
        yield from send(world, recover, rules, bounds)


def serves(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Recovered, and the leader before it has certainly stopped: Healthy."""
    node = world.nodes[i]
    if not node.recovered or node.wait:
        return
    after = world.with_node(i, node._replace(phase=Phase.ACTIVE, seen=0))
    if node.serve and node.seen < world.done.acknowledged:
        after = after.broken(f"{name(i)} serves without a write that was acknowledged")
    yield after


def fails(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """A step of its activation fails, or it is told to stop meanwhile."""
    if world.left.failures:
        after = world.nodes[i]._replace(phase=Phase.LEAVING, read=None)
        yield world._replace(left=spent(world.left, "failures")).with_node(i, after)


def proof_is_read(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Etcd serves its read of the active key, sent just now: sent earlier it would prove less."""
    node = world.nodes[i]
    asks = node.read is None and node.serve < bounds.serve_ticks
    if asks and rules.code.is_ours(world.etcd.active, node.epoch):
        yield world.with_node(i, node._replace(read=Read(bounds.serve_ticks)))


def proof_arrives(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """The answer to the read arrives: the serve lease counts from before it was sent."""
    node = world.nodes[i]
    if node.read is not None:
        left = node.read.left if rules.count_from_send else bounds.serve_ticks
        yield world.with_node(i, node._replace(read=None, serve=max(node.serve, left)))


def looks_at_its_lease(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Sees that its serve lease holds, and will act on that a moment later."""
    node = world.nodes[i]
    if not rules.check_at_the_last_moment and not node.may_act and node.serve:
        yield world.with_node(i, node._replace(may_act=True))


def acts(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Does what no transaction guards: hands out the highest timestamp it may."""
    node, done = world.nodes[i], world.done
    allowed = node.serve > 0 if rules.check_at_the_last_moment else node.may_act
    if not allowed:
        return
    stamp = node.limit - 1
    after = world.with_node(i, node._replace(may_act=False))
    if node.epoch < done.acted:
        yield after.broken(f"{name(i)} acts in epoch {node.epoch} after epoch {done.acted} has")
    elif stamp < done.granted or (stamp == done.granted and node.epoch != done.granted_in):
        yield after.broken(
            f"{name(i)} hands out timestamp {stamp}, and {done.granted} was before it"
        )
    else:
        changed = done._replace(acted=node.epoch, granted=stamp, granted_in=node.epoch)
        yield after._replace(done=changed)


def saves(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Stores a higher bound; by how much it is higher depends on when that is."""
    node, left = world.nodes[i], world.left
    if left.saves:
        old, step = world.etcd.bound, bounds.saves - left.saves + 1
        save = guarded(rules, node, i, "save", _bound_as_read(old, rules))
        save = save._replace(to=max(old, node.limit) + step)
        yield from send(world._replace(left=spent(left, "saves")), save, rules, bounds)


def writes(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Writes metadata."""
    node, left = world.nodes[i], world.left
    if left.writes:
        write = guarded(rules, node, i, "write")
        yield from send(world._replace(left=spent(left, "writes")), write, rules, bounds)


def tells(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Writes down that its term came to serve, so that all before it have stopped."""
    node = world.nodes[i]
    if world.etcd.record is TermState.HELD:
        tell = guarded(rules, node, i, "tell")._replace(record=TermState.CLEAR)
        yield from send(world, tell, rules, bounds)


def answers(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Answers a challenge by a guarded write."""
    node, etcd = world.nodes[i], world.etcd
    if refused(etcd, guarded(rules, node, i, "answer")):
        return
    asked = tuple(asker.question for asker in world.nodes)
    for j in rules.code.to_answer(asked, node.epoch, etcd.answered):
        question = asked[j]
        assert question is not None
        answered = (*etcd.answered[:j], question.nonce, *etcd.answered[j + 1 :])
        yield world._replace(etcd=etcd._replace(answered=answered))


def stops(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Is told to stop or to switch over: ends all its work, in order."""
    node = world.nodes[i]
    if world.left.stops:
        world = world._replace(left=spent(world.left, "stops"))
        after = node._replace(phase=Phase.LEAVING, in_order=True, read=None, may_act=False)
        yield world.with_node(i, after)


def hands_over(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Puts the active key under the lease of a standby, and notes that it has stopped."""
    node = world.nodes[i]
    if not node.in_order:
        return
    for heir in world.nodes:
        if heir is not node and heir.phase in (Phase.STANDBY, Phase.DOWN):
            give = guarded(rules, node, i, "give")._replace(
                lease=heir.lease, process=heir.process, record=rules.code.ended(node.wait)
            )
            yield from send(world, give, rules, bounds)


def releases(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Deletes the active key, and notes whether all before it have certainly stopped."""
    node = world.nodes[i]
    release = guarded(rules, node, i, "release")._replace(record=rules.code.ended(node.wait))
    yield from send(world, release, rules, bounds)


def is_deposed(world: World, i: int, rules: Rules, bounds: Bounds) -> Iterator[World]:
    """Sees that the active key is no longer as it won it, and steps down."""
    node = world.nodes[i]
    if not rules.code.is_ours(world.etcd.active, node.epoch):
        yield world.with_node(i, back_to_standby(node))


def guarded(rules: Rules, node: Node, i: int, kind: str, more: tuple[Compare, ...] = ()) -> Request:
    """A write under the fence of its term, and under the conditions `more`."""
    fence = rules.code.fence(node.lease, node.epoch)
    return Request(kind, i, (*fence, *more), epoch=node.epoch)


def _bound_as_read(bound: int, rules: Rules) -> tuple[Compare, ...]:
    """A bound is stored over the one that was read."""
    return (value_is(BOUND, b"%d" % bound),) if rules.bound_compares else ()
