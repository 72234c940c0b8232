"""The table of moves: everything that can happen, as docs/failover.md has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.model import faults, leader, send, standby
from tests.model.etcd import hopeless
from tests.model.rules import Bounds, Rules
from tests.model.world import Phase, World

Move: TypeAlias = Callable[[World, int, Rules, Bounds], Iterator[World]]
WorldMove: TypeAlias = Callable[[World, Rules, Bounds], Iterator[World]]


@dataclass(frozen=True, slots=True)
class Step:
    """One move that was made: `text` of the table, by process `i` (-1: by nobody).

    `good`: it may be counted on, because nothing has to go wrong for it, and nobody to help.
    """

    text: str
    i: int
    good: bool


_ANY: Final = frozenset(Phase)
_ALIVE: Final = _ANY - {Phase.DOWN}
_DOWN: Final = frozenset({Phase.DOWN})
_STANDBY: Final = frozenset({Phase.STANDBY})
_ACTIVATING: Final = frozenset({Phase.ACTIVATING})
_ACTIVE: Final = frozenset({Phase.ACTIVE})
_LEADS: Final = _ACTIVATING | _ACTIVE
_LEAVING: Final = frozenset({Phase.LEAVING})

MOVES: Final[tuple[tuple[str, Move, frozenset[Phase], bool], ...]] = (
    # Joining
    ("{} finds its lease gone and makes a new session", standby.joins, _STANDBY, True),
    # Winning
    ("{} claims the active key", standby.claims, _STANDBY, True),
    ("{} hears that it has won the active key", standby.wins, _STANDBY, True),
    ("the answer to {}'s claim is lost", standby.hears_nothing, _STANDBY, False),
    ("{} stores a higher bound, and the mark", leader.recovers, _ACTIVATING, True),
    ("{} is Healthy", leader.serves, _ACTIVATING, True),
    ("{} fails to activate", leader.fails, _ACTIVATING, False),
    # Detecting
    ("{} challenges the holder of the active key", standby.challenges, _STANDBY, True),
    ("{} answers the challenge by a guarded write", leader.answers, _LEADS, True),
    ("{} hears the answer and leaves the active alone", standby.hears, _STANDBY, True),
    ("{} hears no answer and replaces the active", standby.replaces, _STANDBY, True),
    # Leading
    (
        "etcd serves a read of the active key by {0}: it is as {0} won it",
        leader.proof_is_read,
        _LEADS,
        True,
    ),
    ("{} hears that, and renews its serve lease", leader.proof_arrives, _LEADS, True),
    ("{} sees that its serve lease holds", leader.looks_at_its_lease, _ACTIVE, True),
    ("{} hands out a timestamp", leader.acts, _ACTIVE, True),
    ("{} stores a higher bound of timestamps", leader.saves, _ACTIVE, False),
    ("{} writes metadata", leader.writes, _ACTIVE, False),
    ("{} writes down that its term serves", leader.tells, _ACTIVE, True),
    (
        "{} sees that the active key is its own no more, and steps down",
        leader.is_deposed,
        _LEADS | _LEAVING,
        True,
    ),
    # Handing over
    ("{} is told to stop, and ends all its work", leader.stops, _ACTIVE, False),
    ("{} puts the active key under the lease of a standby", leader.hands_over, _LEAVING, True),
    ("{} deletes the active key", leader.releases, _LEAVING, True),
    (
        "{} takes the active key back from an heir that does not react",
        standby.takes_back,
        _STANDBY,
        True,
    ),
    # Faults
    ("a late transaction of {} is applied", send.arrives_late, _ANY, False),
    ("{} is killed", faults.crashes, _ALIVE, False),
    ("{} is started again", faults.starts_again, _DOWN, True),
    ("the lease of {} ends while it lives", faults.loses_its_lease, _ALIVE, False),
)

WORLD_MOVES: Final[tuple[tuple[str, WorldMove, bool], ...]] = (
    ("a tick: each serve lease has less left", faults.time_passes, True),
    ("a lease that nobody renews ends", faults.old_lease_ends, True),
    ("a person deletes the active key", faults.active_key_is_deleted, False),
    ("a person puts junk over the active key", faults.active_key_becomes_junk, False),
    ("etcd is full: NOSPACE", faults.etcd_is_full, False),
    ("a person makes room in etcd", faults.etcd_has_room, False),
    ("a Go coordinator wins the active key", faults.go_wins, False),
)


class Table:
    """The moves of one set of rules and bounds."""

    def __init__(self, rules: Rules, bounds: Bounds) -> None:
        self._rules, self._bounds = rules, bounds
        self._moves = [
            {
                phase: [
                    (Step(text, i, good), move) for text, move, on, good in MOVES if phase in on
                ]
                for phase in Phase
            }
            for i in range(bounds.nodes)
        ]
        self._world_moves = [(Step(text, -1, good), move) for text, move, good in WORLD_MOVES]

    def next(self, world: World) -> Iterator[tuple[Step, World]]:
        """Every move that is possible, with the world after it."""
        rules, bounds = self._rules, self._bounds
        for i, node in enumerate(world.nodes):
            for step, move in self._moves[i][node.phase]:
                for after in move(world, i, rules, bounds):
                    yield step, self._tidy(after)
        for step, world_move in self._world_moves:
            for after in world_move(world, rules, bounds):
                yield step, self._tidy(after)

    def _tidy(self, world: World) -> World:
        """Forget what cannot matter any more, so that worlds which differ in nothing else meet."""
        etcd = world.etcd
        for late in world.late:
            if hopeless(etcd, late):
                world = world._replace(late=world.late - {late})
        if not world.late and len(etcd.leases) > len(world.nodes):
            world = self._without_old_leases(world)
        mod = etcd.active.mod if etcd.active is not None else 0
        for i, node in enumerate(world.nodes):
            if node.phase is not Phase.STANDBY:
                continue
            if node.gave and node.gave != mod:
                world = world.with_node(i, node._replace(gave=0))
            elif node.question is not None and node.question.active.mod != mod:
                world = world.with_node(i, node._replace(question=None))
        return world

    def _without_old_leases(self, world: World) -> World:
        """Only the last lease of a process can matter, and one that the active key hangs on."""
        etcd = world.etcd
        used = {node.lease for node in world.nodes} | (
            {etcd.active.lease} if etcd.active else set()
        )
        return world._replace(etcd=etcd._replace(leases=etcd.leases & used))
