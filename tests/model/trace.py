"""A trace to a broken promise: what happened, step by step, and what it changed."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.checker import Verdict
from tests.model.moves import Step
from tests.model.world import GO, HAND, Key, Node, Phase, World, name, node_of


def describe(verdict: Verdict) -> str:
    """The whole trace, a line for each step."""
    lines = ["  in the beginning " + "; ".join(_state(verdict.trace[0][1]))]
    for number, ((_, before), (step, after)) in enumerate(
        zip(verdict.trace, verdict.trace[1:], strict=False), 1
    ):
        assert step is not None
        lines.append(f"{number:3}. {_sentence(step, before, after)}")
        changes = "; ".join(_changes(before, after))
        if changes:
            lines[-1] = f"{lines[-1]:<76} [{changes}]"
    return "\n".join([*lines, f"  => {verdict.promise}"])


def _sentence(step: Step, before: World, after: World) -> str:
    text = step.text.format(name(step.i)) if step.i >= 0 else step.text
    late = after.late - before.late
    if late:
        text += f": the {next(iter(late)).kind!r} is late, no answer comes"
    return text


def _state(world: World) -> Iterator[str]:
    yield _key(world.etcd.active)
    for i, node in enumerate(world.nodes):
        yield f"{name(i)} {_node(node)}"


def _changes(before: World, after: World) -> Iterator[str]:
    old, new = before.etcd, after.etcd
    if old.active != new.active:
        yield _key(new.active)
    if old.record != new.record:
        state = new.record.value if new.record else "absent"
        yield f"leadership: {state}"
    if old.bound != new.bound:
        yield f"stored bound {new.bound}"
    if old.writes != new.writes:
        yield f"metadata write {new.writes} applied"
    for i, (was, now) in enumerate(zip(before.nodes, after.nodes, strict=True)):
        if _node(was) != _node(now):
            yield f"{name(i)} {_node(now)}"
    if before.done.granted != after.done.granted:
        yield f"timestamp {after.done.granted}"


def _key(k: Key | None) -> str:
    if k is None:
        return "no active key"
    whose = {GO: "Go's", HAND: "junk"}.get(k.holder) or f"{name(node_of(k.holder))}'s"
    return f"active key {whose}, written at {k.mod}"


def _node(node: Node) -> str:
    text = node.phase.name
    if node.epoch:
        text += f" in epoch {node.epoch}"
    if node.phase in (Phase.ACTIVATING, Phase.ACTIVE):
        text += f", serve lease {node.serve} left"
    if node.wait:
        text += f", {node.wait} to wait"
    return text
